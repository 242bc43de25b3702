# SCR-ResNet-50 under the paper's schedule.
_base_ = './faster-rcnn_r50_8xb2-13e_coco.py'
model = dict(
    backbone=dict(
        stage_blocks=(1, 3, 5, 7),
        init_cfg=dict(type='Pretrained', checkpoint='mmlight://scr_resnet50'),
    )
)
