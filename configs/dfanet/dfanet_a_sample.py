# The built-in sample data set (`mmlight sample`), from scratch, in minutes on a CPU.
_base_ = [
    '../_base_/models/dfanet.py',
    '../_base_/datasets/sample_seg.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_seg_epochs.py',
]
crop_size = (288, 384)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(ratio_range=(0.75, 1.75))
train_pipeline[3].update(crop_size=crop_size)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
model = dict(data_preprocessor=dict(size=crop_size), decode_head=dict(num_classes=15))

max_epochs = 10
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=50)
param_scheduler[1].update(T_max=max_epochs)
randomness = dict(seed=0)
