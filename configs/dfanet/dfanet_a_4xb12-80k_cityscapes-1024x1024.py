_base_ = [
    '../_base_/models/dfanet.py',
    '../_base_/datasets/cityscapes_1024x1024.py',
    '../_base_/schedules/poly_80k.py',
    '../_base_/default_runtime_seg.py',
]

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scales=None, scale=(2048, 1024), ratio_range=(0.75, 1.75))
train_dataloader = dict(batch_size=12, dataset=dict(pipeline=train_pipeline))
