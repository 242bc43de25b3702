# Protocol B of arXiv 1912.05027: 350 epochs of batches of 256 from scratch, SGD 0.28, divided by 10 thirty and ten
# epochs before the end. Protocols A and C change `max_epochs`.
max_epochs = 350
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.0067 / 0.28, by_epoch=False, begin=0, end=2000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, milestones=[max_epochs - 30, max_epochs - 10], gamma=0.1),
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.28, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True),
    clip_grad=dict(max_norm=10),
)

sync_bn = 'torch'
# --auto-scale-lr: base_batch_size = 8 GPUs x 32 images
auto_scale_lr = dict(enable=False, base_batch_size=256)
