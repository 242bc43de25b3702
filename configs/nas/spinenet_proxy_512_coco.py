# SpineNet's search (arXiv 1912.05027, Sec. 3.2 and 4.1): widths and resampling times 0.25, head of 64 channels,
# 512x512, 5 epochs from scratch, AP on 7,392 images of train2017 (tools/dataset_converters/coco_search_split.py).
# The schedule within the 5 epochs is not published: protocol A's, in proportion, for batches of 64 on a device.
_base_ = [
    '../_base_/models/retinanet_spinenet.py',
    '../_base_/datasets/coco_efficientdet_512.py',
    '../_base_/schedules/spinenet_350e.py',
    '../_base_/default_runtime_det.py',
]
size = 512
data_root = 'data/coco/'

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(arch='proxy'),
    bbox_head=dict(in_channels=64, feat_channels=64),
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

max_epochs = 5  # of 1,733 steps; divided by 10 after 88 % and 96 %
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.0067 / 0.28, by_epoch=False, begin=0, end=400),
    dict(type='MultiStepLR', by_epoch=False, begin=0, milestones=[7625, 8318], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(lr=0.07))

search = dict(
    space=dict(type='SpineNetSpace'),
    sampler=dict(type='NASNetController', batch=100),
    objective=dict(type='ProxyTraining'),
    trials=14000,
    batch_size=100,
)
