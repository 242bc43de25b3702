# For limited compute: mild scale jitter, which wins in short schedules (arXiv 1911.09070, appendix: D1, 30 epochs).
_base_ = './efficientdet_d0_8xb16-crop512-300e_coco.py'

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(ratio_range=(0.8, 1.2))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

max_epochs = 50
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, T_max=max_epochs - 1)
