# arXiv 1904.02216, Table 3: four backbones B, a classifier on the last one's attention output.
_base_ = './dfanet_a-x1_4xb12-80k_cityscapes-1024x1024.py'

model = dict(backbone=dict(arch='B', num_branches=4), decode_head=dict(in_channels=128, channels=128))
