# DFANet B', not in the paper's tables: B at the size of A'.
_base_ = [
    '../_base_/models/dfanet.py',
    '../_base_/datasets/cityscapes_512x1024.py',
    '../_base_/schedules/poly_80k.py',
    '../_base_/default_runtime_seg.py',
]

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    backbone=dict(arch='B'),
    decode_head=dict(in_channels=[32, 32, 32, 128, 128, 128]),
)

train_dataloader = dict(batch_size=12)
