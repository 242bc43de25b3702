# arXiv 1904.02216, Table 2: Xception B without attention.
_base_ = './dfanet_a-x1_4xb12-80k_cityscapes-1024x1024.py'

model = dict(
    backbone=dict(_delete_=True, type='mmlight.DFAXception', arch='B', out_indices=(2,)),
    decode_head=dict(in_channels=128, channels=128),
)
