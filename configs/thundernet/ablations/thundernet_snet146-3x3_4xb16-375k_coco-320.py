# arXiv 1903.11752, backbone ablation: 3x3 depthwise convolutions. The paper widens the network to equal cost and
# does not give the widths: 136, 272, 544 are chosen here (within 1 % of SNet146 in multiply-adds at 224x224).
_base_ = '../thundernet_snet146_4xb16-375k_coco-320.py'

model = dict(
    backbone=dict(arch=dict(_delete_=True, stem=24, stages=((136, 4), (272, 8), (544, 4)), final=None, kernel=3)),
    neck=dict(in_channels=[272, 544]),
)
