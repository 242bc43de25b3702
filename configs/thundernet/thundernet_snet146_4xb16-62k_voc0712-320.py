_base_ = [
    '../_base_/models/thundernet.py',
    '../_base_/datasets/voc0712_detection_320.py',
    '../_base_/schedules/sgd_62k.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    backbone=dict(arch=146),
    neck=dict(in_channels=[264, 528]),
    roi_head=dict(bbox_head=dict(num_classes=20)),
)

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=12500))
log_processor = dict(by_epoch=False)
