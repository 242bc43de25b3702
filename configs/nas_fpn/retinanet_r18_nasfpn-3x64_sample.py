# The built-in sample data set (`mmlight sample`), from scratch at 256x256, ResNet-18 and NAS-FPN 3 @ 64.
_base_ = [
    '../_base_/models/retinanet_r50_nasfpn.py',
    '../_base_/datasets/sample_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
size = 256
norm_cfg = dict(_delete_=True, type='BN')  # few iterations: statistics must move

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(depth=18),
    neck=dict(in_channels=[128, 256, 512], out_channels=64, stack_times=3, norm_cfg=norm_cfg),
    bbox_head=dict(
        norm_cfg=norm_cfg,
        num_classes=7,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        anchor_generator=dict(ratios=[1.0, 0.5, 2.0], center_offset=0.5, scale_major=False),
    ),
)

train_pipeline = _base_.train_pipeline
train_pipeline[5].update(scale=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=4)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
randomness = dict(seed=0)
