# RetinaNet with SpineNet-49, arXiv 1912.05027 and tensorflow/tpu. Norms as in the paper and the Model Garden (momentum
# 0.99, eps 1e-3); the RetinaNets of tensorflow/tpu have 0.997 and 1e-4: norm_cfg.momentum=0.003 norm_cfg.eps=1e-4 in
# backbone and head.
norm_cfg = dict(type='BN', eps=1e-3, momentum=0.01)
model = dict(
    type='RetinaNet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=128,
    ),
    backbone=dict(type='mmlight.SpineNet', arch='49', norm_cfg=norm_cfg),
    neck=None,
    bbox_head=dict(
        type='mmlight.RetinaSepBNHead',
        num_classes=80,
        num_ins=5,
        in_channels=256,
        feat_channels=256,
        stacked_convs=4,
        norm_cfg=norm_cfg,
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=3,
            scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
            strides=[8, 16, 32, 64, 128],
            center_offset=0.5,
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0, 0, 0, 0], target_stds=[1, 1, 1, 1]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=1.5, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='SmoothL1Loss', beta=0.1, loss_weight=1.25),
    ),
    train_cfg=dict(
        assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0, ignore_iof_thr=-1),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100
    ),
)
