# arXiv 1911.09070, Sec. 5.1: 300 epochs of batches of 128, SGD 0.16, warm-up of one epoch, cosine per iteration.
# Weight decay on convolutions only. The average of the weights is evaluated: see `custom_hooks` in the configs.
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
    optimizer=dict(type='SGD', lr=0.16, momentum=0.9, weight_decay=4e-5),
    paramwise_cfg=dict(
        norm_decay_mult=0, bias_decay_mult=0, custom_keys=dict(edge_weights=dict(decay_mult=0)), bypass_duplicate=True
    ),
    clip_grad=dict(max_norm=10),
)
sync_bn = 'torch'
# --auto-scale-lr: base_batch_size = 8 GPUs x 16 images
auto_scale_lr = dict(enable=False, base_batch_size=128)
