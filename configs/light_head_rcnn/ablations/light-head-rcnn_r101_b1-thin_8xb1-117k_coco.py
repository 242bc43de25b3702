# arXiv 1711.07264, B1 with thin maps: 490 by 1x1 convolutions and one layer instead of R-FCN's 4165 and vote.
_base_ = '../../rfcn/rfcn_r101_8xb1-117k_coco.py'
model = dict(
    neck=dict(out_channels=490),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=10),
        bbox_head=dict(type='mmlight.OneLayerBBoxHead', in_channels=10, reg_class_agnostic=True),
    ),
)
