# Blood cells (BCCD, 205 training images), from scratch. MMLIGHT_DATA names the folder that holds bccd/.
_base_ = [
    '../_base_/models/thundernet.py',
    '../_base_/datasets/coco_detection_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
data_root = '{{$MMLIGHT_DATA:../shared/data}}/bccd/'
metainfo = dict(classes=('RBC', 'WBC', 'Platelets'))

model = dict(
    roi_head=dict(bbox_head=dict(num_classes=3)),
    # fewer RoIs than for COCO's batches of 64, for a CPU's sake
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=300)),
    test_cfg=dict(rpn=dict(nms_pre=1000)),
)

train_pipeline = [
    dict(type='mmlight.LoadImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PhotoMetricDistortion'),
    dict(type='Expand', mean=[103.53, 116.28, 123.675], to_rgb=False, ratio_range=(1, 1.5), prob=0.3),
    dict(type='MinIoURandomCrop', min_ious=(0.5, 0.7, 0.9), min_crop_size=0.5),
    dict(type='Resize', scale=(320, 320), keep_ratio=False),
    dict(type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True),
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    num_workers=1,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=1, save_best=None))
