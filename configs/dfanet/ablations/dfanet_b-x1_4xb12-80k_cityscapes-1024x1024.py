# arXiv 1904.02216, Table 3: one backbone B, a classifier on its attention's output.
_base_ = './dfanet_a-x1_4xb12-80k_cityscapes-1024x1024.py'

model = dict(backbone=dict(arch='B'), decode_head=dict(in_channels=128, channels=128))
