# The strong R-FCN that Light-Head R-CNN calls B2 (arXiv 1711.07264, Sec. 4.2): 800 instead of 600 pixels, anchors from
# 32 pixels on, box loss doubled, hard RoIs from 2000.
_base_ = [
    '../_base_/models/rfcn.py',
    '../_base_/datasets/coco_detection_800.py',
    '../_base_/schedules/light_head_125k.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    rpn_head=dict(anchor_generator=dict(scales=[2, 4, 8, 16, 32])),
    roi_head=dict(bbox_head=dict(ohem_per_img=256, loss_bbox=dict(loss_weight=2.0))),
    train_cfg=dict(rpn_proposal=dict(nms_pre=12000, max_per_img=2000)),
    test_cfg=dict(rpn=dict(max_per_img=1000)),
)
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True, norm_decay_mult=0.0, bias_decay_mult=0.0))

default_hooks = dict(checkpoint=dict(by_epoch=False, interval=12500))
log_processor = dict(by_epoch=False)
