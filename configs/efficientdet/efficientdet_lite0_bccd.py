# Blood cells (BCCD, 205 training images) at 256x256, five epochs from ImageNet weights. MMLIGHT_DATA names the folder
# that holds bccd/. README.md has the figures from scratch, too.
_base_ = [
    '../_base_/models/efficientdet_lite0.py',
    '../_base_/datasets/bccd_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
size = 256

norm = dict(norm_cfg=dict(momentum=0.1))  # 0.01 averages over more steps than a short training has
model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(
        drop_path_rate=0.0,
        init_cfg=dict(type='Pretrained', checkpoint='mmlight://efficientnet_lite0'),
        **norm,
    ),
    neck=norm,
    bbox_head=dict(num_classes=3, anchor_generator=dict(octave_base_scale=4, strides=[8, 16, 32, 64, 128]), **norm),
    test_cfg=dict(score_thr=0.05, nms=dict(_delete_=True, type='nms', iou_threshold=0.5)),
)

train_pipeline = _base_.train_pipeline
train_pipeline[5].update(scale=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
workers = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline), **workers)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline), **workers)
test_dataloader = val_dataloader

max_epochs = 5
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=26)  # an epoch
param_scheduler[1].update(T_max=max_epochs)
default_hooks = dict(checkpoint=dict(save_best=None))
randomness = dict(seed=0)
