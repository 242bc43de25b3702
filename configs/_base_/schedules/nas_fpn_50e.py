# 50 epochs of batches of 64, SGD 0.08, divided by 10 after 30 and 40 (NAS-FPN, arXiv 1904.07392, Sec. 4.1). Warm-up and
# decay of kernels alone as in tensorflow/tpu.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.0067 / 0.08, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=50, milestones=[30, 40], gamma=0.1),
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.08, momentum=0.9, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True),
)

# --auto-scale-lr: base_batch_size = 8 GPUs x 8 images
auto_scale_lr = dict(enable=False, base_batch_size=64)
