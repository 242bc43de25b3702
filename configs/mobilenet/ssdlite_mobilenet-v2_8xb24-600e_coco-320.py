# SSDLite with MobileNetV2, arXiv 1801.04381, Sec. 6.2: the first head reads the expansion layer of stride 16.
_base_ = [
    '../_base_/models/ssdlite.py',
    '../_base_/datasets/coco_detection_320.py',
    '../_base_/schedules/ssdlite_600e.py',
    '../_base_/default_runtime_det.py',
]

train_pipeline = _base_.train_pipeline
train_pipeline[4].update(scales=[(320, 320)])
train_dataloader = dict(
    batch_size=24,
    sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
