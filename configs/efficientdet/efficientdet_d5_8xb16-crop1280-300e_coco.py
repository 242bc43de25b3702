# EfficientDet-D5: arXiv 1911.09070, Table 1.
_base_ = './efficientdet_d0_8xb16-crop512-300e_coco.py'
from mmlight.tables.efficientdet_scaling import compound_scaling

globals().update(compound_scaling('d5', _base_))
