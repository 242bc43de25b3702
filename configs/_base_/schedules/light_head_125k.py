# 2 M images in batches of 16, divided by 10 after 1.5 M (arXiv 1711.07264, Sec. 4.1). Warm-up as in the authors' code.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=125000, val_interval=12500)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=125000, milestones=[93750], gamma=0.1),
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
    # as in the authors' code: no decay of norms and biases, the large separable convolution three times as fast; a
    # custom key makes mmengine forget bias_decay_mult, and the longest key that is part of a parameter's name counts
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            'neck': dict(lr_mult=3.0),
            'first.0.bias': dict(lr_mult=3.0, decay_mult=0.0),  # column_first and row_first
            'first.1.bias': dict(lr_mult=3.0, decay_mult=0.0),
        },
    ),
)

# --auto-scale-lr: base_batch_size = 8 GPUs x 2 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
