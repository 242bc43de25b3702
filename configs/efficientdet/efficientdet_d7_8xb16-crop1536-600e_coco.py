# EfficientDet-D7 as published: 600 epochs (arXiv 1911.09070, Sec. 5.1).
_base_ = './efficientdet_d7_8xb16-crop1536-300e_coco.py'

max_epochs = 600
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, T_max=max_epochs - 1)
