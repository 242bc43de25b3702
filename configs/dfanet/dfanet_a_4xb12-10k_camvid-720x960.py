# The paper gives no length for CamVid: as many epochs as on Cityscapes.
_base_ = [
    '../_base_/models/dfanet.py',
    '../_base_/datasets/camvid_720x960.py',
    '../_base_/schedules/poly_80k.py',
    '../_base_/default_runtime_seg.py',
]

model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=dict(num_classes=11))

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scales=None, scale=(960, 720), ratio_range=(0.75, 1.75))
train_dataloader = dict(batch_size=12, dataset=dict(pipeline=train_pipeline))

max_iters = 10000
train_cfg = dict(max_iters=max_iters, val_interval=1000)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters)
default_hooks = dict(checkpoint=dict(interval=1000))
