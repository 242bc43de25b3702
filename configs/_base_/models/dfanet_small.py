# DFANet for short schedules: its blocks begin as their shortcuts. README.md has the ablation.
_base_ = './dfanet.py'

model = dict(backbone=dict(init_cfg=[dict(type='Normal', layer='Linear', std=0.01), dict(type='mmlight.ZeroResidual')]))
