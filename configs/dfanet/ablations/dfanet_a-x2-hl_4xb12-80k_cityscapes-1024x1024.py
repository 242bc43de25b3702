# arXiv 1904.02216, Table 4: 2 x backbone A + HL, the decoder's high-level half alone.
_base_ = '../dfanet_a_4xb12-80k_cityscapes-1024x1024.py'

model = dict(
    backbone=dict(num_branches=2),
    decode_head=dict(in_channels=[192, 192], in_index=[2, 3], num_low=0),
)
