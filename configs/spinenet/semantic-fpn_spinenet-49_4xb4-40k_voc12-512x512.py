# Segmentation with mmseg's FPN head on SpineNet-49's five levels. Not published: arXiv 1912.05027 has no segmentation.
_base_ = [
    '../_base_/datasets/voc12_seg_512.py',
    '../_base_/schedules/poly_40k.py',
    '../_base_/default_runtime_seg.py',
]
norm_cfg = dict(type='BN', eps=1e-3, momentum=0.01)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=dict(type='mmlight.SpineNet', arch='49', norm_cfg=norm_cfg),
    decode_head=dict(
        type='FPNHead',
        in_channels=[256, 256, 256, 256, 256],
        in_index=[0, 1, 2, 3, 4],
        feature_strides=[8, 16, 32, 64, 128],
        channels=128,
        dropout_ratio=0.1,
        num_classes=21,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

sync_bn = 'torch'
