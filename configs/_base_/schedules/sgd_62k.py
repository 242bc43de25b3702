# arXiv 1903.11752, Sec. 4.1: 62.5k iterations of 64 images on VOC; otherwise as sgd_375k.py.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=62500, val_interval=12500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=62500, milestones=[31250, 46875], gamma=0.1),
]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4))

sync_bn = 'torch'
auto_scale_lr = dict(enable=False, base_batch_size=64)
