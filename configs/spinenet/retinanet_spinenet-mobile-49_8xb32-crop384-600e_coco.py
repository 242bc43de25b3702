# Mobile SpineNet-49 as published: tensorflow/tpu, spinenet-mbconv49_retinanet.yaml. 600 epochs, decay 3e-5, no
# clipping, no stochastic depth, 500 iterations of warm-up.
_base_ = './retinanet_spinenet-mobile-49_8xb32-crop384-500e_coco.py'
norm_cfg = dict(type='BN', eps=1e-4, momentum=0.003)

model = dict(backbone=dict(drop_path_rate=0.0, norm_cfg=norm_cfg), bbox_head=dict(norm_cfg=norm_cfg))

max_epochs = 600
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=500)
param_scheduler[1].update(milestones=[max_epochs - 30, max_epochs - 10])
optim_wrapper = dict(optimizer=dict(weight_decay=3e-5), clip_grad=None)
