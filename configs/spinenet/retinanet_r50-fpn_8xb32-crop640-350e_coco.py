# The baseline: ResNet-50 + FPN, protocol B of arXiv 1912.05027.
_base_ = './retinanet_r50-fpn_8xb32-crop640-250e_coco.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(ratio_range=(0.5, 2.0))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

max_epochs = 350
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(milestones=[max_epochs - 30, max_epochs - 10])
