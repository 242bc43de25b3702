# ResNet-18, otherwise as with Xception39.
_base_ = './bisenet_xception39_4xb4-40k_camvid-720x960.py'

backbone = dict(
    _delete_=True,
    type='ResNet',
    depth=18,
    out_indices=(2, 3),
    norm_cfg=_base_.norm_cfg,
    init_cfg=dict(type='Pretrained', checkpoint='mmlight://torchvision_resnet18'),
)
auxiliary_head = _base_.model.auxiliary_head
for head in auxiliary_head:
    head.update(channels=256)
model = dict(backbone=dict(backbone=backbone, in_channels=(256, 512)), auxiliary_head=auxiliary_head)

# in the authors' code everything but the ResNet learns ten times as fast
optim_wrapper = dict(paramwise_cfg=dict(part_rates={'backbone': 10, 'backbone.backbone': 1}))
