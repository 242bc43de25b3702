_base_ = './retinanet_r50_nasfpn-7x256_8xb8-crop640-50e_coco.py'
size = 1280

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    neck=dict(out_channels=384),
    bbox_head=dict(in_channels=384, feat_channels=384),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(size, size), crop_size=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
