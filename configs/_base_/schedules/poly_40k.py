# The usual schedule of mmseg: SGD 0.01, polynomial decay over 40k iterations.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=40000, val_interval=4000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [dict(type='PolyLR', eta_min=1e-4, power=0.9, begin=0, end=40000, by_epoch=False)]
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4), clip_grad=None
)
# --auto-scale-lr: base_batch_size = 4 GPUs x 4 images
auto_scale_lr = dict(enable=False, base_batch_size=16)
