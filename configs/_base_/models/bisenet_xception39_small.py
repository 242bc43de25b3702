# BiSeNet for short schedules on few and small pictures: every pixel counts (no OHEM); blocks begin as their shortcuts;
# no auxiliary heads, which take a third of a training step on a CPU. README.md has the ablation.
_base_ = './bisenet_xception39.py'

model = dict(
    backbone=dict(backbone=dict(init_cfg=[dict(type='Kaiming', layer='Conv2d'), dict(type='mmlight.ZeroResidual')])),
    decode_head=dict(sampler=None, init_cfg=dict(type='Normal', std=0.1, override=dict(name='conv_seg'))),
    auxiliary_head=None,
)
