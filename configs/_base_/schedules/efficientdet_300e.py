# arXiv 1911.09070, Sec. 5.1: 300 epochs of batches of 128, SGD 0.16, warm-up of one epoch, cosine per iteration.
# Weight decay on convolutions only; the average of the weights is evaluated.
max_epochs = 300
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=True, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=1,
        end=max_epochs,
        T_max=max_epochs - 1,
        eta_min=0,
        convert_to_iter_based=True,
    ),
]
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mmlight.ClipEach',  # each gradient's norm, then that of all
    optimizer=dict(type='SGD', lr=0.16, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(
        norm_decay_mult=0, bias_decay_mult=0, custom_keys=dict(edge_weights=dict(decay_mult=0)), bypass_duplicate=True
    ),
    clip_grad=dict(max_norm=10),
)
# keeps min(0.9998, (1 + n) / (10 + n)) of the average, as the authors' code; configs add it to `custom_hooks`
ema = dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=2e-4, gamma=9, update_buffers=True, priority=49)

sync_bn = 'torch'
# --auto-scale-lr: base_batch_size = 8 GPUs x 16 images
auto_scale_lr = dict(enable=False, base_batch_size=128)
