# Step 1: the stage supernet of eight basic blocks.
_base_ = './faster-rcnn_r18_sample.py'
annotations = _base_.annotations

model = dict(
    backbone=dict(
        type='mmlight.CRStageSuperResNet',
        base_channels=16,
        stem_channels=16,
        choices=((1, 2, 3), (1, 2, 3), (2, 3), (2, 3, 4)),  # what eight blocks can be
    )
)
train_dataloader = dict(dataset=dict(ann_file=annotations + 'instances_archtrain.json'))
val_dataloader = dict(
    dataset=dict(ann_file=annotations + 'instances_archval.json', data_prefix=dict(img=_base_.images + 'train/'))
)
val_evaluator = dict(ann_file=annotations + 'instances_archval.json')

max_epochs = 30
train_cfg = dict(max_epochs=max_epochs, val_begin=max_epochs + 1)  # one path's validation tells nothing
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
custom_hooks = [*_base_.custom_hooks, dict(type='mmlight.PathSamplingHook')]
default_hooks = dict(sync_buffers=dict(type='SyncBuffersHook'))
find_unused_parameters = True
