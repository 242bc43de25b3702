# arXiv 1904.02216, Table 4: 2 x backbone A + HL + LL, the whole decoder.
_base_ = '../dfanet_a_4xb12-80k_cityscapes-1024x1024.py'

model = dict(
    backbone=dict(num_branches=2),
    decode_head=dict(in_channels=[48, 48, 192, 192], in_index=[0, 1, 2, 3], num_low=2),
)
