# DFANet, arXiv 1904.02216: SGD 0.2 for 48 images, weight decay 1e-5, polynomial decay of power 0.9. The paper
# gives no length; 80k iterations, the warm-up and no decay of biases and norms are chosen here.
max_iters = 80000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=8000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=1000, by_epoch=False),
    dict(type='PolyLR', eta_min=0, power=0.9, begin=1000, end=max_iters, by_epoch=False),
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.2, momentum=0.9, weight_decay=1e-5),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0),
)

sync_bn = 'torch'
# --auto-scale-lr: base_batch_size = 4 GPUs x 12 images
auto_scale_lr = dict(enable=False, base_batch_size=48)
