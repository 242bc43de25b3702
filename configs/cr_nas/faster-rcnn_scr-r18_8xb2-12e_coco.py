# SCR-ResNet-18.
_base_ = [
    '../_base_/models/faster_rcnn_r50_fpn.py',
    '../_base_/datasets/coco_detection_1333.py',
    '../_base_/schedules/sgd_12e.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    backbone=dict(
        depth=18,
        stage_blocks=(1, 1, 2, 4),
        init_cfg=dict(type='Pretrained', checkpoint='mmlight://scr_resnet18'),
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
