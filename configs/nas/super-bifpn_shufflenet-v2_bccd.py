# A supernet of pyramids on blood cells (BCCD, 205 training images), trained once; then 96 of its 1.6e8 pyramids are
# evaluated with its weights, AP against multiply-adds. MMLIGHT_DATA names the folder that holds bccd/.
_base_ = './nas-fpn_shufflenet-v2_bccd.py'
norm_cfg = dict(type='BN')  # few iterations: statistics must move

model = dict(
    neck=dict(
        _delete_=True,
        type='mmlight.SuperFPN',
        space=dict(type='BiFPNSpace', fusions=['sum', 'fast'], num_cells=[1, 2, 3], channels=[16, 24, 32, 40]),
        neck=dict(type='mmlight.GraphFPN', in_channels=[48, 96, 192], norm_cfg=norm_cfg),
    ),
    bbox_head=dict(in_channels=40, feat_channels=32),
)
# the smallest, the largest and two random pyramids for each update
custom_hooks = [*_base_.custom_hooks, dict(type='mmlight.PathSamplingHook', randoms=2)]
optim_wrapper = dict(accumulative_counts=4)
find_unused_parameters = True
val_evaluator = dict(type='mmlight.ExactCocoMetric')

max_epochs = 150
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=100)
param_scheduler[1].update(T_max=max_epochs)
default_hooks = dict(checkpoint=dict(interval=10, save_best=None, max_keep_ckpts=1))

search = dict(
    _delete_=True,
    sampler=dict(type='ParetoLocalSearch'),
    objective=dict(type='SupernetAccuracy', shape=(128, 128)),
    trials=96,
    batch_size=8,
)
