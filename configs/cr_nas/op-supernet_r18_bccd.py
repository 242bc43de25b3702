# Step 3: the operation supernet; step 2 writes a copy with the found allocation.
_base_ = './faster-rcnn_r18_bccd.py'
annotations = 'data/bccd/'  # what tools/dataset_converters/arch_split.py wrote

model = dict(backbone=dict(type='mmlight.CROpSuperResNet', stage_blocks=(1, 1, 2, 4)))
train_dataloader = dict(dataset=dict(ann_file=annotations + 'instances_archtrain.json'))
val_dataloader = dict(
    dataset=dict(ann_file=annotations + 'instances_archval.json', data_prefix=dict(img=_base_.images + 'train/'))
)
val_evaluator = dict(ann_file=annotations + 'instances_archval.json')

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_begin=max_epochs + 1)  # one path's validation tells nothing
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
custom_hooks = [*_base_.custom_hooks, dict(type='mmlight.PathSamplingHook')]
default_hooks = dict(sync_buffers=dict(type='SyncBuffersHook'))
find_unused_parameters = True
