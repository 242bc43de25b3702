# The authors' 2022 release: SNet146 in the `keep`/`parity` dialect, two fcs, class-specific boxes, max pooling
# without half-pixel shift, random instead of hard RoIs, RGB normalised by ImageNet's statistics, 400 epochs.
# Published: 23.6 AP, 39.4 AP50 on test-dev. Its middle training scale of 360 is kept.
_base_ = [
    '../_base_/models/thundernet.py',
    '../_base_/datasets/coco_detection_320.py',
    '../_base_/schedules/sgd_375k.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(arch=146, first_block='keep', shuffle_mode='parity'),
    neck=dict(in_channels=[264, 528]),
    rpn_head=dict(loss_bbox=dict(_delete_=True, type='L1Loss', loss_weight=1.0)),
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(mode='max', aligned=False, min_size=0.1)),
        bbox_head=dict(
            num_shared_fcs=2,
            reg_class_agnostic=False,
            loss_bbox=dict(_delete_=True, type='L1Loss', loss_weight=1.0),
        ),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=2000, max_per_img=1000),
        rcnn=dict(
            sampler=dict(
                _delete_=True,
                type='RandomSampler',
                num=512,
                pos_fraction=0.25,
                neg_pos_ub=-1,
                add_gt_as_proposals=True,
            )
        ),
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.05, nms=dict(type='soft_nms', iou_threshold=0.5, min_score=0.05))),
)

train_pipeline = _base_.train_pipeline
train_pipeline[4].update(scales=[(240, 240), (360, 360), (480, 480)])
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# 400 epochs of 118k images in batches of 64, dropped at 50 % and 75 %
train_cfg = dict(max_iters=733000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=False, begin=0, end=733000, milestones=[366500, 549750], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=12500))
log_processor = dict(by_epoch=False)
