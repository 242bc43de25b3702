_base_ = [
    '../_base_/models/retinanet_r50_nasfpn.py',
    '../_base_/datasets/coco_efficientdet_512.py',
    '../_base_/schedules/nas_fpn_50e.py',
    '../_base_/default_runtime_det.py',
]
size = 640

model = dict(
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='mmlight://torchvision_resnet50')),
    data_preprocessor=dict(pad_size_divisor=size),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(size, size), ratio_range=(0.8, 1.2), crop_size=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(batch_size=8, num_workers=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
