# Mobile SpineNet-49 as published: tensorflow/tpu, spinenet-mbconv49_retinanet.yaml. 600 epochs, decay 3e-5, no
# clipping, no stochastic depth, 500 iterations of warm-up.
_base_ = [
    '../_base_/models/retinanet_spinenet.py',
    '../_base_/datasets/coco_efficientdet_512.py',
    '../_base_/schedules/spinenet_350e.py',
    '../_base_/default_runtime_det.py',
]
size = 384
norm_cfg = dict(type='BN', eps=1e-4, momentum=0.003)

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(_delete_=True, type='mmlight.SpineNetMBConv', arch='49', norm_cfg=norm_cfg),
    bbox_head=dict(
        _delete_=True,
        type='mmlight.EfficientDetHead',
        num_classes=80,
        in_channels=48,
        stacked_convs=4,
        norm_cfg=norm_cfg,
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

max_epochs = 600
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=500)
param_scheduler[1].update(milestones=[max_epochs - 30, max_epochs - 10])
optim_wrapper = dict(optimizer=dict(weight_decay=3e-5), clip_grad=None)
