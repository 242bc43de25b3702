# SpineNet-143, protocol B of arXiv 1912.05027.
_base_ = [
    '../_base_/models/retinanet_spinenet.py',
    '../_base_/datasets/coco_efficientdet_512.py',
    '../_base_/schedules/spinenet_350e.py',
    '../_base_/default_runtime_det.py',
]
size = 1280

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(arch='143'),
    bbox_head=dict(anchor_generator=dict(octave_base_scale=4)),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(size, size), ratio_range=(0.5, 2.0), crop_size=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
