# The built-in sample data set (`mmlight sample`), from scratch at 256x256, ResNet-18 and NAS-FPN 3 @ 64.
_base_ = [
    '../_base_/models/retinanet_r50_nasfpn.py',
    '../_base_/datasets/coco_small_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
data_root = 'data/sample/'
metainfo = dict(
    classes=('person', 'rider', 'car', 'bus', 'bicycle', 'traffic light', 'traffic sign'),
    palette=[(220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 60, 100), (119, 11, 32), (250, 170, 30), (220, 220, 0)],
)
size = 256

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(depth=18),
    neck=dict(in_channels=[128, 256, 512], out_channels=64, stack_times=3, norm_cfg=dict(type='BN')),
    bbox_head=dict(
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
train_dataloader = dict(
    dataset=dict(
        data_root=data_root, metainfo=metainfo, data_prefix=dict(img='leftImg8bit/train/'), pipeline=train_pipeline
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root, metainfo=metainfo, data_prefix=dict(img='leftImg8bit/val/'), pipeline=test_pipeline
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator

max_epochs = 16
train_cfg = dict(max_epochs=max_epochs, val_interval=4)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
randomness = dict(seed=0)
