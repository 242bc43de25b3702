# EfficientDet-D7: arXiv 1911.09070, Table 1.
_base_ = [
    '../_base_/models/efficientdet_d0.py',
    '../_base_/datasets/coco_efficientdet_512.py',
    '../_base_/schedules/efficientdet_300e.py',
    '../_base_/default_runtime_det.py',
]
from mmlight.tables.efficientdet_scaling import compound_scaling

globals().update(compound_scaling('d7', _base_))
custom_hooks = [*_base_.custom_hooks, _base_.ema]
