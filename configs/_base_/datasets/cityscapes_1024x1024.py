# Cityscapes (2975 training and 500 validation images of 1024x2048, 19 classes), crops of 1024x1024, augmented as by
# BiSeNet's authors: one of six scales, crop, flip.
dataset_type = 'CityscapesDataset'
data_root = 'data/cityscapes/'
crop_size = (1024, 1024)
scales = [(1536, 768), (2048, 1024), (2560, 1280), (3072, 1536), (3584, 1792), (4096, 2048)]  # 0.75 to 2

train_pipeline = [
    dict(type='mmlight.OpenImage'),
    dict(type='LoadAnnotations'),
    dict(type='mmlight.JitterWindow', scales=scales, crop_size=crop_size),
    dict(type='mmlight.RenderWindow'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmlight.CheckLabels', num_classes=19),
    dict(type='PackSegInputs'),
]
# labels are loaded behind `Resize`: whatever size the network sees, it is scored at full size
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=dict(backend='checked')),
    dict(type='Resize', scale=(2048, 1024), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='mmlight.CheckLabels', num_classes=19),
    dict(type='PackSegInputs'),
]

dataset = dict(type=dataset_type, data_root=data_root)
train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=train_pipeline,
        **dataset,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val'),
        pipeline=test_pipeline,
        **dataset,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
