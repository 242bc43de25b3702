# SSDLite with ShuffleNetV2 1x, under the same protocol as with MobileNetV2.
_base_ = [
    '../_base_/models/ssdlite.py',
    '../_base_/datasets/coco_detection_320.py',
    '../_base_/schedules/ssdlite_600e.py',
    '../_base_/default_runtime_det.py',
]
channels = (232, 1024, 512, 256, 256, 128)
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmlight.ShuffleNetV2',
        widen_factor=1.0,
        out_indices=(1, 3),
        norm_cfg=dict(type='BN', eps=1e-3, momentum=0.03),
    ),
    neck=dict(in_channels=channels[:2], out_channels=channels),
    bbox_head=dict(in_channels=channels),
)

train_pipeline = _base_.train_pipeline
train_pipeline[4].update(scales=[(320, 320)])
train_dataloader = dict(
    batch_size=24,
    sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
