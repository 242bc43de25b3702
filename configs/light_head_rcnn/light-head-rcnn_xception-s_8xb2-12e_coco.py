# Setting S of arXiv 1711.07264, Sec. 4.3.
_base_ = [
    '../_base_/models/light_head_rcnn.py',
    '../_base_/datasets/coco_detection_800.py',
    '../_base_/schedules/light_head_12e.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    # nothing is frozen, as no weights are published; with weights of your own: frozen_stages=1, norm_eval=True
    backbone=dict(_delete_=True, type='mmlight.XceptionStar', out_indices=(1, 2)),
    neck=dict(in_channels=576, mid_channels=64),
    rpn_head=dict(in_channels=288, feat_channels=256),
    roi_head=dict(bbox_roi_extractor=dict(featmap_strides=[32])),
)
train_dataloader = dict(sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))

# Statistics of batch norm over all GPUs; without effect on one.
sync_bn = 'torch'
