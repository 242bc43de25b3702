# DFANet A', arXiv 1904.02216.
_base_ = [
    '../_base_/models/dfanet.py',
    '../_base_/datasets/cityscapes_512x1024.py',
    '../_base_/schedules/poly_80k.py',
    '../_base_/default_runtime_seg.py',
]

model = dict(data_preprocessor=dict(size=_base_.crop_size))

train_dataloader = dict(batch_size=12)
