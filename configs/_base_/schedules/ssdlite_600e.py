# mmdet's schedule of SSDLite: 600 epochs from scratch, batch 192, cosine.
max_epochs = 600
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=25)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=0, end=max_epochs, T_max=max_epochs, eta_min=0),
]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.015, momentum=0.9, weight_decay=4e-5))

# --auto-scale-lr: base_batch_size = 8 GPUs x 24 images
auto_scale_lr = dict(enable=False, base_batch_size=192)
