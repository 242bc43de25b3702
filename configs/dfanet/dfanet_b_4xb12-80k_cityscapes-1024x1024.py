# DFANet B, arXiv 1904.02216.
_base_ = './dfanet_a_4xb12-80k_cityscapes-1024x1024.py'

model = dict(backbone=dict(arch='B'), decode_head=dict(in_channels=[32, 32, 32, 128, 128, 128]))
