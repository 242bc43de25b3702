# Setting S on the built-in sample data set (`mmlight sample`), from scratch, in minutes on a CPU.
_base_ = [
    '../_base_/models/light_head_rcnn.py',
    '../_base_/datasets/sample_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]

model = dict(
    # a last stage of stride 16: 10 x 10 cells are too few for 7 x 7 bins
    backbone=dict(_delete_=True, type='mmlight.XceptionStar', out_indices=(1, 2), c5_stride=16),
    neck=dict(in_channels=576, mid_channels=64),
    # anchors at the cells' corners, as when its figures were measured
    rpn_head=dict(in_channels=288, feat_channels=256, anchor_generator=dict(center_offset=0.0)),
    roi_head=dict(bbox_head=dict(num_classes=7)),
    # fewer RoIs than COCO's, for a CPU's sake
    train_cfg=dict(rpn=dict(allowed_border=-1), rpn_proposal=dict(nms_pre=1000, max_per_img=300)),
    test_cfg=dict(rpn=dict(nms_pre=1000, max_per_img=200)),
)

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=6)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
randomness = dict(seed=0)
