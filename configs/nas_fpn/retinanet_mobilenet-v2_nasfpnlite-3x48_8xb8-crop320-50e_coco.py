# NAS-FPNLite 3 @ 48 with MobileNetV2 (arXiv 1904.07392, Table 2). The paper searched it for levels 3 to 6 and did not
# publish the cells; here they are the seven of NAS-FPN, on levels 3 to 7, with separable convolutions.
_base_ = './retinanet_r50_nasfpn-7x256_8xb8-crop640-50e_coco.py'
size = 320

relu6 = dict(type='ReLU6')
model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(
        _delete_=True,
        type='mmlight.MobileNetV2',
        out_indices=(2, 4, 6),
        init_cfg=dict(type='Pretrained', checkpoint='mmlight://torchvision_mobilenet_v2'),
    ),
    neck=dict(in_channels=[32, 96, 320], out_channels=48, stack_times=3, separable=True, act_cfg=relu6),
    bbox_head=dict(
        _delete_=True,
        type='mmlight.EfficientDetHead',
        num_classes=80,
        in_channels=48,
        stacked_convs=4,
        act_cfg=relu6,
        # 320 gives 3 cells on the coarsest level
        anchor_generator={**_base_.model.bbox_head.anchor_generator, 'strides': [8, 16, 32, 64, size / 3]},
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
