# ResNet-18 with the usual 7x7 stem; ImageNet weights of torchvision fit it.
_base_ = './bisenet_xception39_4xb4-160k_cityscapes-1024x1024.py'

model = dict(
    backbone=dict(
        backbone=dict(
            _delete_=True,
            type='ResNet',
            depth=18,
            out_indices=(2, 3),
            norm_cfg=_base_.norm_cfg,
            init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
        ),
        in_channels=(256, 512),
    ),
    auxiliary_head=[
        dict(_base_.model.auxiliary_head[0], channels=256),
        dict(_base_.model.auxiliary_head[1], channels=256),
    ],
)
