# Backbone against neck, arXiv 1911.09070, Table 4: EfficientNet-B3 + FPN. EfficientNet-B3 + BiFPN is D3.
_base_ = '../efficientdet_d0_8xb16-crop512-300e_coco.py'
size = 640
checkpoint = 'mmlight://mmpretrain_efficientnet_b3'

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(arch='b3', drop_path_rate=0.2, init_cfg=dict(checkpoint=checkpoint)),
    neck=dict(
        _delete_=True,
        type='FPN',
        in_channels=[48, 136, 384],
        out_channels=256,
        start_level=0,
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
