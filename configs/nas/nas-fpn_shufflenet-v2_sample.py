# NAS-FPN's search on the built-in sample data set (`mmlight sample --out data/sample`), in minutes on two cores: a tiny
# proxy (ShuffleNetV2 0.5x, one stack of 32 channels, 128x128, two epochs), 24 trials.
_base_ = [
    '../_base_/models/retinanet_r50_nasfpn.py',
    '../_base_/datasets/sample_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
size = 128
norm_cfg = dict(_delete_=True, type='BN')  # few iterations: statistics must move

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(_delete_=True, type='mmlight.ShuffleNetV2', widen_factor=0.5, out_indices=(0, 1, 2)),
    neck=dict(in_channels=[48, 96, 192], out_channels=32, stack_times=1, norm_cfg=norm_cfg),
    bbox_head=dict(
        norm_cfg=norm_cfg,
        num_classes=7,
        in_channels=32,
        feat_channels=32,
        stacked_convs=1,
        anchor_generator=dict(ratios=[1.0, 0.5, 2.0], center_offset=0.5, scale_major=False),
    ),
)

train_pipeline = _base_.train_pipeline
train_pipeline[5].update(scale=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(pipeline=test_pipeline),
)
test_dataloader = val_dataloader

max_epochs = 2
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=10)
param_scheduler[1].update(T_max=max_epochs)
randomness = dict(seed=0)

search = dict(
    space=dict(type='NASFPNSpace'),
    objective=dict(type='ProxyTraining', metric='coco/bbox_mAP_50'),
    trials=24,
    batch_size=8,
)
