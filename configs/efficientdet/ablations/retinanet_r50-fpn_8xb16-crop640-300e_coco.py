# Backbone against neck, arXiv 1911.09070, Table 4: ResNet-50 + FPN.
_base_ = '../efficientdet_d0_8xb16-crop512-300e_coco.py'
size = 640

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(
        _delete_=True,
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=-1,
        norm_cfg=dict(type='BN'),
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='mmlight://torchvision_resnet50'),
    ),
    neck=dict(
        _delete_=True,
        type='FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        start_level=1,
        add_extra_convs='on_output',
        num_outs=5,
    ),
    bbox_head=dict(
        _delete_=True,
        type='RetinaHead',
        num_classes=80,
        in_channels=256,
        stacked_convs=4,
        feat_channels=256,
        anchor_generator=_base_.model.bbox_head.anchor_generator,
        bbox_coder=_base_.model.bbox_head.bbox_coder,
        loss_cls=_base_.model.bbox_head.loss_cls,
        loss_bbox=_base_.model.bbox_head.loss_bbox,
    ),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(size, size), crop_size=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
