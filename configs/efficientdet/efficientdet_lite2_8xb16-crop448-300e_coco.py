# EfficientDet-Lite2: google/automl, efficientdet (Lite).
_base_ = [
    '../_base_/models/efficientdet_d0.py',
    '../_base_/datasets/coco_efficientdet_512.py',
    '../_base_/schedules/efficientdet_300e.py',
    '../_base_/default_runtime_det.py',
]
from mmlight.tables.efficientdet_scaling import compound_scaling

globals().update(compound_scaling('lite2', _base_))
custom_hooks = [*_base_.custom_hooks, _base_.ema]
