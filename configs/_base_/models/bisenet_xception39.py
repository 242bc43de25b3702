# BiSeNet with Xception39 (arXiv 1808.00897), widths, resizing and OHEM as in the authors' code. `sync_bn` of the
# schedule makes the batch norms those of all GPUs.
norm_cfg = dict(type='BN')
ohem = dict(type='mmlight.KeptPixelSampler', thresh=0.7, min_kept=65536)  # per image: a sixteenth of a 1024x1024 crop
head = dict(
    type='FCNHead',
    num_convs=1,
    concat_input=False,
    dropout_ratio=0,
    num_classes=19,
    norm_cfg=norm_cfg,
    align_corners=True,
    sampler=ohem,
    loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, avg_non_ignore=True, loss_weight=1.0),
)
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
    backbone=dict(
        type='mmlight.BiSeNet',
        backbone=dict(type='mmlight.Xception39', out_indices=(1, 2), norm_cfg=norm_cfg),
        in_channels=(128, 256),
        norm_cfg=norm_cfg,
    ),
    decode_head=dict(in_channels=256, channels=64, in_index=0, **head),
    auxiliary_head=[
        dict(in_channels=128, channels=128, in_index=1, **head),
        dict(in_channels=128, channels=128, in_index=2, **head),
    ],
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
