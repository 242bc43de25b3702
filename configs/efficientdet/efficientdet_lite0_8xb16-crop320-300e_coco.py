# EfficientDet-Lite0: google/automl, efficientdet (Lite); no squeeze-and-excitation, ReLU6, unweighted fusion.
_base_ = './efficientdet_d0_8xb16-crop512-300e_coco.py'
size = 320

model = dict(
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3, pad_size_divisor=size),
    backbone=dict(
        _delete_=True,
        type='mmlight.EfficientNetLite',
        arch='lite0',
        norm_cfg=dict(type='BN', eps=1e-3, momentum=0.01),
    ),
    neck=dict(fusion='sum', act_cfg=dict(type='ReLU6')),
    # 320 gives 3 cells on the coarsest level
    bbox_head=dict(
        act_cfg=dict(type='ReLU6'),
        anchor_generator=dict(octave_base_scale=3, strides=[8, 16, 32, 64, size / 3]),
    ),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(size, size))
train_pipeline[3].update(crop_size=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
