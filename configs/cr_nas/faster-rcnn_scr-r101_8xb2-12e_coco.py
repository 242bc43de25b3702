# SCR-ResNet-101.
_base_ = [
    '../_base_/models/faster_rcnn_r50_fpn.py',
    '../_base_/datasets/coco_detection_1333.py',
    '../_base_/schedules/sgd_12e.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    backbone=dict(
        depth=101,
        stage_blocks=(2, 3, 17, 11),
        init_cfg=dict(type='Pretrained', checkpoint='mmlight://scr_resnet101'),
    )
)
