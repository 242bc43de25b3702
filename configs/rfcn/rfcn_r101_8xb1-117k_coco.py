# R-FCN in public settings, which Light-Head R-CNN calls B1: those of the MXNet implementation in Deformable-ConvNets.
_base_ = [
    '../_base_/models/rfcn.py',
    '../_base_/datasets/coco_detection_800.py',
    '../_base_/schedules/light_head_125k.py',
    '../_base_/default_runtime_det.py',
]

train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2].update(scales=[(1000, 600)])
test_pipeline[1].update(scale=(1000, 600))
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# 8 epochs of 117k images, the rate dropped after two thirds; 5e-4 for each of 8 GPUs, whose gradients are summed there
train_cfg = dict(max_iters=117000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=117000, milestones=[78000], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(lr=0.004, weight_decay=5e-4), paramwise_cfg=dict(_delete_=True))
auto_scale_lr = dict(base_batch_size=8)

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=12500))
log_processor = dict(by_epoch=False)
