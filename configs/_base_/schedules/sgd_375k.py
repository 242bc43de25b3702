# arXiv 1903.11752, Sec. 4.1: 375k iterations of 64 images, rate 0.01, divided by 10 at 50 % and 75 %. Warm-up as in
# the authors' release.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=375000, val_interval=12500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=375000, milestones=[187500, 281250], gamma=0.1),
]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))

# Statistics of batch norm over all GPUs; without effect on one.
sync_bn = 'torch'
# --auto-scale-lr: base_batch_size = 4 GPUs x 16 images
auto_scale_lr = dict(enable=False, base_batch_size=64)
