# BiSeNet, arXiv 1808.00897: batches of 16, polynomial decay of power 0.9. Rate, weight decay and the tenfold rate of
# fusion and heads are those of the authors' code (the paper has 0.025 and 1e-4), length and warm-up those of mmseg.
max_iters = 160000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=1000, by_epoch=False),
    dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=1000, end=max_iters, by_epoch=False),
]
tenfold = dict(lr_mult=10)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(
        norm_decay_mult=0,
        bias_decay_mult=0,
        custom_keys={'decode_head': tenfold, 'auxiliary_head': tenfold, 'backbone.fusion': tenfold},
    ),
)

sync_bn = 'torch'
# --auto-scale-lr: base_batch_size = 4 GPUs x 4 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
