# The built-in sample data set (`mmlight sample`), from scratch at 256x256.
_base_ = [
    '../_base_/models/efficientdet_d0.py',
    '../_base_/datasets/coco_small_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
data_root = 'data/sample/'
metainfo = dict(
    classes=('person', 'rider', 'car', 'bus', 'bicycle', 'traffic light', 'traffic sign'),
    palette=[(220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 60, 100), (119, 11, 32), (250, 170, 30), (220, 220, 0)],
)
size = 256

norm = dict(norm_cfg=dict(momentum=0.1))  # 0.01 averages over more steps than a short training has
model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=norm,
    neck=norm,
    bbox_head=dict(num_classes=7, **norm),
    test_cfg=dict(score_thr=0.05, nms=dict(_delete_=True, type='nms', iou_threshold=0.5)),
)

train_pipeline = _base_.train_pipeline
train_pipeline[5].update(scale=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(
    dataset=dict(
        data_root=data_root, metainfo=metainfo, data_prefix=dict(img='leftImg8bit/train/'), pipeline=train_pipeline
    )
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root, metainfo=metainfo, data_prefix=dict(img='leftImg8bit/val/'), pipeline=test_pipeline
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator

max_epochs = 16
train_cfg = dict(max_epochs=max_epochs, val_interval=4)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
randomness = dict(seed=0)
