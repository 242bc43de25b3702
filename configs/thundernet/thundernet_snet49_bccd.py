# Blood cells (BCCD, 205 training images) from scratch. MMLIGHT_DATA names the folder that holds bccd/.
_base_ = [
    '../_base_/models/thundernet.py',
    '../_base_/datasets/bccd_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]

model = dict(
    roi_head=dict(bbox_head=dict(num_classes=3)),
    # fewer RoIs than COCO's, for a CPU's sake
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=300)),
    test_cfg=dict(rpn=dict(nms_pre=1000)),
)
