_base_ = './dfanet_a_4xb12-10k_camvid-720x960.py'

model = dict(backbone=dict(arch='B'), decode_head=dict(in_channels=[32, 32, 32, 128, 128, 128]))
