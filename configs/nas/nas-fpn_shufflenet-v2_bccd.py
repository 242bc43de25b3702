# NAS-FPN's search on blood cells (BCCD, 205 training images), on two cores in less than an hour: ShuffleNetV2 0.5x from
# scratch, one stack of 16 channels, 128x128, 5 epochs, 64 trials. MMLIGHT_DATA names the folder that holds bccd/.
_base_ = [
    '../_base_/models/retinanet_r50_nasfpn.py',
    '../_base_/datasets/coco_small_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
data_root = '{{$MMLIGHT_DATA:../shared/data}}/bccd/'
metainfo = dict(classes=('RBC', 'WBC', 'Platelets'))
size = 128
norm_cfg = dict(_delete_=True, type='BN')  # few iterations: statistics must move

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(_delete_=True, type='mmlight.ShuffleNetV2', widen_factor=0.5, out_indices=(0, 1, 2)),
    neck=dict(in_channels=[48, 96, 192], out_channels=16, stack_times=1, norm_cfg=norm_cfg),
    bbox_head=dict(
        norm_cfg=norm_cfg,
        num_classes=3,
        in_channels=16,
        feat_channels=16,
        stacked_convs=1,
        anchor_generator=dict(ratios=[1.0], scales_per_octave=2, center_offset=0.5, scale_major=False),
    ),
    test_cfg=dict(nms_pre=200, score_thr=0.01),
)

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=dict(backend='checked')),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(size, size), keep_ratio=False),
    # cells have no up and down
    dict(type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PackDetInputs'),
]
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline),
)
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
# what the search has not chosen by
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        pipeline=test_pipeline,
        ann_file='annotations/instances_test.json',
        data_prefix=dict(img='test/'),
    ),
)
test_evaluator = dict(ann_file=data_root + 'annotations/instances_test.json')

max_epochs = 5
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=20)
param_scheduler[1].update(T_max=max_epochs)
default_hooks = dict(checkpoint=dict(interval=max_epochs, save_best=None))
randomness = dict(seed=0)

search = dict(
    space=dict(type='NASFPNSpace'),
    # so few trials need large steps
    sampler=dict(type='RNNController', lr=2e-2, batch=8),
    objective=dict(type='ProxyTraining'),
    trials=64,
    batch_size=8,
)
