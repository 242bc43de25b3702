# EfficientDet-Lite3: google/automl, efficientdet (Lite).
_base_ = './efficientdet_d0_8xb16-crop512-300e_coco.py'
from mmlight.tables.efficientdet_scaling import compound_scaling

globals().update(compound_scaling('lite3', _base_))
