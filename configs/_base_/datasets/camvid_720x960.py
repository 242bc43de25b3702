# CamVid (367 training, 101 validation and 233 test images of 720x960, 11 classes), whole images as crops, augmented as
# Cityscapes by BiSeNet's authors.
dataset_type = 'mmlight.CamVidDataset'
data_root = 'data/camvid/'
crop_size = (720, 960)
scales = [(720, 540), (960, 720), (1200, 900), (1440, 1080), (1680, 1260), (1920, 1440)]  # 0.75 to 2

train_pipeline = [
    dict(type='mmlight.OpenImage'),
    dict(type='LoadAnnotations'),
    dict(type='mmlight.JitterWindow', scales=scales, crop_size=crop_size),
    dict(type='mmlight.RenderWindow'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmlight.CheckLabels', num_classes=11),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=dict(backend='checked')),
    dict(type='Resize', scale=(960, 720), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='mmlight.CheckLabels', num_classes=11),
    dict(type='PackSegInputs'),
]

dataset = dict(type=dataset_type, data_root=data_root)
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(data_prefix=dict(img_path='train', seg_map_path='trainannot'), pipeline=train_pipeline, **dataset),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(data_prefix=dict(img_path='val', seg_map_path='valannot'), pipeline=test_pipeline, **dataset),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(data_prefix=dict(img_path='test', seg_map_path='testannot'), pipeline=test_pipeline, **dataset),
)

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
