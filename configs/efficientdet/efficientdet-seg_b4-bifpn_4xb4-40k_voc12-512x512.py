# Segmentation variant (arXiv 1911.09070, Sec. 5.2): EfficientNet-B4, three BiFPN cells of 128 channels on levels 2 to
# 7, a head of 256 channels on level 2 only. Not published: the recipe and the head's convolutions (here mmseg's
# separable ones, with ReLU).
_base_ = [
    '../_base_/datasets/voc12_seg_512.py',
    '../_base_/schedules/poly_40k.py',
    '../_base_/default_runtime_seg.py',
]
checkpoint = 'mmlight://mmpretrain_efficientnet_b4'
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
    backbone=dict(
        type='mmlight.EfficientNet',
        arch='b4',
        out_indices=(2, 3, 4, 5),
        drop_path_rate=0.2,
        norm_cfg=norm_cfg,
        init_cfg=dict(type='Pretrained', prefix='backbone.', checkpoint=checkpoint),
    ),
    neck=dict(
        type='mmlight.BiFPN',
        in_channels=[32, 56, 160, 448],
        out_channels=128,
        num_cells=3,
        start_level=2,
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(
        type='DepthwiseSeparableFCNHead',
        in_index=0,
        in_channels=128,
        channels=256,
        num_convs=3,
        concat_input=False,
        num_classes=21,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

sync_bn = 'torch'
find_unused_parameters = True  # the head reads level 2 only, the last cell computes them all
