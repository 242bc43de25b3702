# EfficientDet-D5: arXiv 1911.09070, Table 1.
_base_ = [
    '../_base_/models/efficientdet_d0.py',
    '../_base_/datasets/coco_efficientdet_512.py',
    '../_base_/schedules/efficientdet_300e.py',
    '../_base_/default_runtime_det.py',
]
size = 1280
checkpoint = 'mmlight://mmpretrain_efficientnet_b5'

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(
        arch='b5',
        drop_path_rate=0.2,
        init_cfg=dict(type='Pretrained', prefix='backbone.', checkpoint=checkpoint),
    ),
    neck=dict(in_channels=[64, 176, 512], out_channels=288, num_cells=7),
    bbox_head=dict(in_channels=288, stacked_convs=4),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(size, size))
train_pipeline[3].update(crop_size=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

custom_hooks = [*_base_.custom_hooks, _base_.ema]
