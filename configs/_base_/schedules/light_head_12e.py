# mmdet's 1x schedule with the rates of light_head_125k.py.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
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
