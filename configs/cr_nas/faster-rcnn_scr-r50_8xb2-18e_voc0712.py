# PASCAL VOC with the paper's schedule: 18 epochs, drops after 15 and 17.
_base_ = [
    '../_base_/models/faster_rcnn_r50_fpn.py',
    '../_base_/datasets/voc0712_detection_600.py',
    '../_base_/schedules/sgd_12e.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    backbone=dict(
        stage_blocks=(1, 3, 5, 7),
        init_cfg=dict(type='Pretrained', checkpoint='mmlight://scr_resnet50'),
    ),
    roi_head=dict(bbox_head=dict(num_classes=20)),
)
train_dataloader = dict(sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))
max_epochs = 18
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, milestones=[15, 17])
