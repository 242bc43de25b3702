# ShuffleNetV2 2x, the 500 M level.
# Setting S of Light-Head R-CNN with another backbone: arXiv 1807.11164, Table 7.
_base_ = [
    '../_base_/models/light_head_rcnn.py',
    '../_base_/datasets/coco_detection_800.py',
    '../_base_/schedules/light_head_125k.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmlight.ShuffleNetV2',
        widen_factor=2.0,
        out_indices=(1, 3),
        init_cfg=dict(type='Pretrained', checkpoint='mmlight://torchvision_shufflenet_v2_x2.0'),
    ),
    neck=dict(in_channels=2048, mid_channels=64),
    rpn_head=dict(in_channels=488, feat_channels=256),
    roi_head=dict(bbox_roi_extractor=dict(featmap_strides=[32])),
)

# Statistics of batch norm over all GPUs; without effect on one.
sync_bn = 'torch'

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=12500))
log_processor = dict(by_epoch=False)
