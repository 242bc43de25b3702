# R-FCN with a small backbone on blood cells (BCCD, 205 training images) from scratch. MMLIGHT_DATA names the folder
# that holds bccd/.
_base_ = [
    '../_base_/models/rfcn.py',
    '../_base_/datasets/bccd_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]

model = dict(
    # up to stride 16, for RPN and RoIs: the 10 x 10 cells of the last stage are too few for 7 x 7 bins
    backbone=dict(_delete_=True, type='mmlight.ShuffleNetV2', out_indices=(1,)),
    neck=dict(in_channels=232, mid_channels=256, out_channels=49 * (3 + 5)),
    rpn_head=dict(in_channels=232, feat_channels=256, anchor_generator=dict(scales=[2, 4, 8, 16, 32])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=3 + 5),
        bbox_head=dict(num_classes=3, ohem_per_img=256, loss_bbox=dict(loss_weight=2.0)),
    ),
    # fewer RoIs than COCO's, for a CPU's sake
    train_cfg=dict(rpn=dict(allowed_border=-1), rpn_proposal=dict(nms_pre=1000)),
    test_cfg=dict(
        rpn=dict(nms_pre=1000, max_per_img=200),
        rcnn=dict(nms=dict(iou_threshold=0.5)),
    ),
)

max_epochs = 30
train_cfg = dict(max_epochs=max_epochs, val_interval=15)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
