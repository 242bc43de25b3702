# DFANet A, arXiv 1904.02216: three Xception A. The ablations replace `arch`, `num_branches` and the head.
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(1024, 1024),
    ),
    backbone=dict(type='mmlight.DFANet', arch='A', num_branches=3),
    decode_head=dict(
        type='mmlight.DFAHead',
        in_channels=[48, 48, 48, 192, 192, 192],
        in_index=[0, 1, 2, 3, 4, 5],
        num_low=3,
        channels=32,
        num_classes=19,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, avg_non_ignore=True, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
