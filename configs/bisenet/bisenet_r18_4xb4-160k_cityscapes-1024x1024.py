# ResNet-18 with the usual 7x7 stem, which torchvision's ImageNet weights fit.
_base_ = [
    '../_base_/models/bisenet_xception39.py',
    '../_base_/datasets/cityscapes_1024x1024.py',
    '../_base_/schedules/poly_160k.py',
    '../_base_/default_runtime_seg.py',
]

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
