# MobileNetV2 1x, the 300 M level (the width is chosen here by its multiply-adds).
# Setting S of Light-Head R-CNN with another backbone: arXiv 1807.11164, Table 7.
_base_ = [
    '../_base_/models/light_head_rcnn.py',
    '../_base_/datasets/coco_detection_800.py',
    '../_base_/schedules/light_head_125k.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmlight.MobileNetV2',
        widen_factor=1.0,
        out_indices=(4, 6),
        init_cfg=dict(type='Pretrained', checkpoint='mmlight://torchvision_mobilenet_v2'),
    ),
    neck=dict(in_channels=320, mid_channels=64),
    rpn_head=dict(in_channels=96, feat_channels=256),
    roi_head=dict(bbox_roi_extractor=dict(featmap_strides=[32])),
)

# Statistics of batch norm over all GPUs; without effect on one.
sync_bn = 'torch'

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=12500))
log_processor = dict(by_epoch=False)
