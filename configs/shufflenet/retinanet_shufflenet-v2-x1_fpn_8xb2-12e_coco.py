# RetinaNet with ShuffleNetV2 1x and FPN, as mmdet's retinanet_r18_fpn_1x_coco but for the backbone.
_base_ = [
    '../_base_/models/retinanet_r50_nasfpn.py',
    '../_base_/datasets/coco_detection_800.py',
    '../_base_/schedules/light_head_12e.py',
    '../_base_/default_runtime_det.py',
]
model = dict(
    data_preprocessor=dict(pad_size_divisor=32),
    backbone=dict(
        _delete_=True,
        type='mmlight.ShuffleNetV2',
        widen_factor=1.0,
        out_indices=(0, 1, 2),
        init_cfg=dict(type='Pretrained', checkpoint='mmlight://torchvision_shufflenet_v2_x1.0'),
    ),
    neck=dict(
        _delete_=True,
        type='FPN',
        in_channels=[116, 232, 464],
        out_channels=256,
        add_extra_convs='on_output',
        num_outs=5,
    ),
    bbox_head=dict(
        _delete_=True,
        type='RetinaHead',
        num_classes=80,
        in_channels=256,
        stacked_convs=4,
        feat_channels=256,
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=4,
            scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
            strides=[8, 16, 32, 64, 128],
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[0, 0, 0, 0], target_stds=[1, 1, 1, 1]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0),
    ),
    train_cfg=dict(assigner=dict(neg_iou_thr=0.4)),
)
train_dataloader = dict(sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True))

# Statistics of batch norm over all GPUs; without effect on one.
sync_bn = 'torch'
