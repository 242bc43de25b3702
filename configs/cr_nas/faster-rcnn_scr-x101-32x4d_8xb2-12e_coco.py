# SCR-ResNeXt-101-32x4d.
_base_ = [
    '../_base_/models/faster_rcnn_r50_fpn.py',
    '../_base_/datasets/coco_detection_1333.py',
    '../_base_/schedules/sgd_12e.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    backbone=dict(
        type='mmlight.CRResNeXt',
        depth=101,
        groups=32,
        base_width=4,
        stage_blocks=(2, 3, 17, 11),
        init_cfg=dict(type='Pretrained', checkpoint='mmlight://scr_resnext101_32x4d'),
    )
)
