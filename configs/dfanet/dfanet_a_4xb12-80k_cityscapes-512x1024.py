# DFANet A', arXiv 1904.02216.
_base_ = [
    '../_base_/models/dfanet.py',
    '../_base_/datasets/cityscapes_512x1024.py',
    '../_base_/schedules/poly_80k.py',
    '../_base_/default_runtime_seg.py',
]

model = dict(data_preprocessor=dict(size=_base_.crop_size))

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(ratio_range=(0.75, 1.75))
train_dataloader = dict(batch_size=12, dataset=dict(pipeline=train_pipeline))
