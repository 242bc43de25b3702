# EfficientDet-D0, arXiv 1911.09070; mmlight.tables.efficientdet_scaling has the table of all models.
size = 512
norm_cfg = dict(type='BN', eps=1e-3, momentum=0.01)
model = dict(
    type='RetinaNet',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=size,
    ),
    backbone=dict(
        type='mmlight.EfficientNet',
        arch='b0',
        out_indices=(3, 4, 5),
        drop_path_rate=0.0,
        norm_cfg=norm_cfg,
    ),
    neck=dict(
        type='mmlight.BiFPN',
        in_channels=[40, 112, 320],
        out_channels=64,
        num_cells=3,
        fusion='fast',
        norm_cfg=norm_cfg,
    ),
    bbox_head=dict(
        type='mmlight.EfficientDetHead',
        num_classes=80,
        in_channels=64,
        stacked_convs=3,
        norm_cfg=norm_cfg,
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=4,
            scales_per_octave=3,
            ratios=[1.0, 0.5, 2.0],
            strides=[8, 16, 32, 64, 128],
            center_offset=0.5,
            scale_major=False,
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0, 0, 0, 0], target_stds=[1, 1, 1, 1]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=1.5, alpha=0.25, loss_weight=1.0),
        # 50 x Huber(0.1) / 4 of the authors' code
        loss_bbox=dict(type='SmoothL1Loss', beta=0.1, loss_weight=1.25),
    ),
    train_cfg=dict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.5,
            min_pos_iou=0,
            gt_max_assign_all=False,
            ignore_iof_thr=-1,
        ),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.001,
        nms=dict(type='soft_nms', method='gaussian', sigma=0.5, iou_threshold=0.3, min_score=0.001),
        max_per_img=100,
    ),
)
