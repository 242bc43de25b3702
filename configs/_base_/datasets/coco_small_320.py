# A small data set in COCO format at 320x320: milder augmentation, one fixed size, epochs instead of iterations.
_base_ = './coco_detection_320.py'

train_pipeline = [
    dict(type='mmlight.LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PhotoMetricDistortion'),
    dict(type='Expand', mean=[103.53, 116.28, 123.675], to_rgb=False, ratio_range=(1, 1.5), prob=0.3),
    dict(type='MinIoURandomCrop', min_ious=(0.5, 0.7, 0.9), min_crop_size=0.5),
    dict(type='Resize', scale=(320, 320), keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True),
    dataset=dict(ann_file='annotations/instances_train.json', data_prefix=dict(img='train/'), pipeline=train_pipeline),
)
val_dataloader = dict(
    num_workers=1, dataset=dict(ann_file='annotations/instances_val.json', data_prefix=dict(img='val/'))
)
test_dataloader = val_dataloader
