# NAS-FPN's search (arXiv 1904.07392, Sec. 3 and 4.1): proxy of ResNet-10 and three stacks at 512x512, 10 epochs, AP on
# 7,392 images of train2017 (tools/dataset_converters/coco_search_split.py). A device takes the whole batch of 64.
_base_ = [
    '../_base_/models/retinanet_r50_nasfpn.py',
    '../_base_/datasets/coco_efficientdet_512.py',
    '../_base_/schedules/nas_fpn_50e.py',
    '../_base_/default_runtime_det.py',
]
size = 512
data_root = 'data/coco/'

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(_delete_=True, type='mmlight.ResNet10', out_indices=(1, 2, 3), frozen_stages=-1, norm_eval=False),
    neck=dict(in_channels=[128, 256, 512], stack_times=3),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(ratio_range=(0.8, 1.2))
train_dataloader = dict(
    batch_size=64, dataset=dict(ann_file='annotations/instances_searchtrain2017.json', pipeline=train_pipeline)
)
val_dataloader = dict(
    batch_size=16,
    dataset=dict(ann_file='annotations/instances_searchval2017.json', data_prefix=dict(img='train2017/')),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_searchval2017.json')
test_evaluator = val_evaluator

max_epochs = 10
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, milestones=[8])

search = dict(
    space=dict(type='NASFPNSpace'),
    sampler=dict(type='NASNetController', batch=100),
    objective=dict(type='ProxyTraining'),
    trials=8000,
    batch_size=100,
)
