# The transfer to instance segmentation.
_base_ = [
    '../_base_/models/mask_rcnn_r50_fpn.py',
    '../_base_/datasets/coco_instance_1333.py',
    '../_base_/schedules/sgd_12e.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    backbone=dict(
        stage_blocks=(1, 3, 5, 7),
        init_cfg=dict(type='Pretrained', checkpoint='mmlight://scr_resnet50'),
    )
)
