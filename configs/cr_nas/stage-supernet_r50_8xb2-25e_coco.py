# Step 1: the stage supernet of bottlenecks, for ResNet-50 and ResNet-101. Half the width of what is trained in the end.
# On one GPU `model.backbone.share='prefix'` has a fifth of the parameters.
_base_ = [
    '../_base_/models/faster_rcnn_r50_fpn.py',
    '../_base_/datasets/coco_detection_1333.py',
    '../_base_/schedules/sgd_12e.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    backbone=dict(_delete_=True, type='mmlight.CRStageSuperResNet', depth=50, norm_cfg=dict(type='SyncBN')),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
train_dataloader = dict(dataset=dict(ann_file='annotations/instances_archtrain2017.json'))
val_dataloader = dict(
    dataset=dict(ann_file='annotations/instances_archval2017.json', data_prefix=dict(img='train2017/'))
)
val_evaluator = dict(type='mmlight.ExactCocoMetric', ann_file='data/coco/annotations/instances_archval2017.json')

max_epochs = 25
train_cfg = dict(max_epochs=max_epochs, val_begin=max_epochs + 1)  # one path's validation tells nothing
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, milestones=[16, 22])
custom_hooks = [*_base_.custom_hooks, dict(type='mmlight.PathSamplingHook')]
default_hooks = dict(checkpoint=dict(save_best=None))
find_unused_parameters = True
