# A supernet of pyramids on the built-in sample data set (`mmlight sample --out data/sample`), trained once; then 64 of
# its 1.6e8 pyramids evaluated with its weights, AP against multiply-adds.
_base_ = [
    '../_base_/models/retinanet_r50_nasfpn.py',
    '../_base_/datasets/sample_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
size = 128
norm_cfg = dict(type='BN')  # few iterations: statistics must move

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(_delete_=True, type='mmlight.ShuffleNetV2', widen_factor=0.5, out_indices=(0, 1, 2)),
    neck=dict(
        _delete_=True,
        type='mmlight.SuperFPN',
        space=dict(type='BiFPNSpace', fusions=['sum', 'fast'], num_cells=[1, 2, 3], channels=[16, 24, 32, 40]),
        neck=dict(type='mmlight.GraphFPN', in_channels=[48, 96, 192], norm_cfg=norm_cfg),
    ),
    bbox_head=dict(
        norm_cfg=dict(_delete_=True, **norm_cfg),
        num_classes=7,
        in_channels=40,
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

# the smallest, the largest and two random pyramids for each update
custom_hooks = [*_base_.custom_hooks, dict(type='mmlight.PathSamplingHook', randoms=2)]
optim_wrapper = dict(accumulative_counts=4)
find_unused_parameters = True
val_evaluator = dict(type='mmlight.ExactCocoMetric')


max_epochs = 60
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=100)
param_scheduler[1].update(T_max=max_epochs)
randomness = dict(seed=0)
default_hooks = dict(checkpoint=dict(interval=5, save_best=None, max_keep_ckpts=1))

search = dict(
    sampler=dict(type='ParetoLocalSearch'),
    objective=dict(type='SupernetAccuracy', shape=(128, 128)),
    trials=64,
    batch_size=8,
)
