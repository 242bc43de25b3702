# Mobile SpineNet-49, App. A of arXiv 1912.05027; trained as by protocol C; the 600e form has the published schedule.
_base_ = [
    '../_base_/models/retinanet_spinenet.py',
    '../_base_/datasets/coco_efficientdet_512.py',
    '../_base_/schedules/spinenet_350e.py',
    '../_base_/default_runtime_det.py',
]
size = 384

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(
        _delete_=True, type='mmlight.SpineNetMBConv', arch='49', drop_path_rate=0.2, norm_cfg=_base_.norm_cfg
    ),
    bbox_head=dict(
        _delete_=True,
        type='mmlight.EfficientDetHead',
        num_classes=80,
        in_channels=48,
        stacked_convs=4,
        anchor_generator=_base_.model.bbox_head.anchor_generator,
        bbox_coder=_base_.model.bbox_head.bbox_coder,
        loss_cls=_base_.model.bbox_head.loss_cls,
        loss_bbox=_base_.model.bbox_head.loss_bbox,
    ),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(size, size), ratio_range=(0.5, 2.0), crop_size=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_epochs = 500
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(milestones=[max_epochs - 30, max_epochs - 10])
