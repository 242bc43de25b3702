# Step 4: choose a dilation for each block; step 2 writes a copy with the found allocation.
_base_ = './faster-rcnn_r18_sample.py'
annotations = _base_.annotations

model = dict(backbone=dict(type='mmlight.CROpSuperResNet', stage_blocks=(1, 1, 2, 4)))
train_dataloader = dict(dataset=dict(ann_file=annotations + 'instances_archtrain.json'))
val_dataloader = dict(
    dataset=dict(ann_file=annotations + 'instances_archval.json', data_prefix=dict(img=_base_.images + 'train/'))
)
val_evaluator = dict(ann_file=annotations + 'instances_archval.json')

load_from = 'work_dirs/op-supernet_r18_sample/epoch_12.pth'
param_scheduler = None
find_unused_parameters = True
train_cfg = dict(_delete_=True, type='mmlight.GreedyOpSearchLoop', targets=['faster-rcnn_r18_sample'])
