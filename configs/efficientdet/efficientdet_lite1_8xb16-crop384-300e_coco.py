# EfficientDet-Lite1: google/automl, efficientdet (Lite).
_base_ = [
    '../_base_/models/efficientdet_lite0.py',
    '../_base_/datasets/coco_efficientdet_512.py',
    '../_base_/schedules/efficientdet_300e.py',
    '../_base_/default_runtime_det.py',
]
size = 384

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(arch='lite1', init_cfg=dict(type='Pretrained', checkpoint='mmlight://timm_efficientnet_lite1')),
    neck=dict(out_channels=88, num_cells=4),
    bbox_head=dict(in_channels=88, anchor_generator=dict(strides=[8, 16, 32, 64, 128])),
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
