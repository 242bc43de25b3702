# Mobile SpineNet-49XS, App. A of arXiv 1912.05027; the published schedule of 49.
_base_ = './retinanet_spinenet-mobile-49_8xb32-crop384-600e_coco.py'
size = 256

model = dict(data_preprocessor=dict(pad_size_divisor=size), backbone=dict(arch='49XS'), bbox_head=dict(in_channels=24))

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(size, size), crop_size=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
