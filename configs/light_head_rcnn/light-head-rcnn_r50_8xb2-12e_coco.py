_base_ = [
    '../_base_/models/light_head_rcnn.py',
    '../_base_/datasets/coco_detection_800.py',
    '../_base_/schedules/light_head_12e.py',
    '../_base_/default_runtime_det.py',
]
model = dict(backbone=dict(depth=50, init_cfg=dict(checkpoint='mmlight://torchvision_resnet50')))
train_dataloader = dict(sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))
