# R-FCN on PASCAL VOC (arXiv 1605.06409, Sec. 4, with OHEM): 20k iterations of 8 images and 10k at a tenth of the rate.
_base_ = [
    '../_base_/models/rfcn.py',
    '../_base_/datasets/voc0712_detection_600.py',
    '../_base_/schedules/light_head_125k.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    neck=dict(out_channels=49 * (20 + 5)),
    rpn_head=dict(anchor_generator=dict(scales=[8, 16, 32])),
    roi_head=dict(bbox_roi_extractor=dict(out_channels=20 + 5), bbox_head=dict(num_classes=20)),
)

train_dataloader = dict(batch_size=1)
train_cfg = dict(max_iters=30000, val_interval=10000)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=30000, milestones=[20000])
optim_wrapper = dict(optimizer=dict(lr=0.001, weight_decay=5e-4), paramwise_cfg=dict(_delete_=True))
auto_scale_lr = dict(base_batch_size=8)

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=10000))
log_processor = dict(by_epoch=False)
