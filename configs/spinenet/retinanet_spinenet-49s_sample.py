# The built-in sample data set (`mmlight sample`), from scratch at 256x256, SpineNet-49S.
_base_ = [
    '../_base_/models/retinanet_spinenet.py',
    '../_base_/datasets/sample_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
size = 256

norm_cfg = dict(momentum=0.1)  # 0.01 averages over more steps than a short training has
model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(arch='49S', norm_cfg=norm_cfg),
    bbox_head=dict(num_classes=7, in_channels=128, feat_channels=64, stacked_convs=2, norm_cfg=norm_cfg),
)

train_pipeline = _base_.train_pipeline
train_pipeline[5].update(scale=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_epochs = 9
train_cfg = dict(max_epochs=max_epochs, val_interval=3)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
randomness = dict(seed=0)
