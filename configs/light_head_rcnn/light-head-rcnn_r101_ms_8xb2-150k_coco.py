# Training at five scales, "longer" (arXiv 1711.07264, Sec. 4.1); how much longer is not said: the release's iterations.
_base_ = './light-head-rcnn_r101_8xb2-125k_coco.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scales=[(1400, 600), (1400, 700), (1400, 800), (1400, 900), (1400, 1000)])
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# 2.4 M images
train_cfg = dict(max_iters=150000)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=150000, milestones=[95000, 125000])
