# SCR-MobileNetV2. No ImageNet weights of it exist: train it there first (see README.md), or from scratch.
_base_ = [
    '../_base_/models/faster_rcnn_r50_fpn.py',
    '../_base_/datasets/coco_detection_1333.py',
    '../_base_/schedules/sgd_12e.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    backbone=dict(
        _delete_=True, type='mmlight.CRMobileNetV2', stage_blocks=(2, 2, 3, 4, 4), norm_cfg=dict(type='SyncBN')
    ),
    neck=dict(in_channels=[24, 32, 96, 1280]),
)
