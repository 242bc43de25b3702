# MobileNetV2 1.0 as context path, without its last 1x1 convolution; not in the paper.
_base_ = './bisenet_xception39_4xb4-160k_cityscapes-1024x1024.py'

backbone = dict(
    _delete_=True,
    type='mmlight.MobileNetV2',
    out_indices=(4, 6),
    norm_cfg=_base_.norm_cfg,
    init_cfg=dict(type='Pretrained', checkpoint='mmlight://torchvision_mobilenet_v2'),
)
model = dict(backbone=dict(backbone=backbone, in_channels=(96, 320)))
