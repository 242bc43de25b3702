# arXiv 1903.11752, backbone ablation: SNet49 without its conv5.
_base_ = '../thundernet_snet49_4xb16-375k_coco-320.py'

model = dict(
    backbone=dict(arch=dict(_delete_=True, stem=24, stages=((60, 4), (120, 8), (240, 4)), final=None, kernel=5)),
    neck=dict(in_channels=[120, 240]),
)
