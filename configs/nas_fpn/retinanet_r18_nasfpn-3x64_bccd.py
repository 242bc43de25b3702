# Blood cells (BCCD, 205 training images) from scratch at 256x256: ResNet-18 and NAS-FPN 3 @ 64, for a CPU.
# MMLIGHT_DATA names the folder that holds bccd/.
_base_ = '../efficientdet/efficientdet_d0_bccd.py'

norm_cfg = dict(type='BN')
model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, out_indices=(1, 2, 3), frozen_stages=-1, norm_cfg=norm_cfg),
    neck=dict(
        _delete_=True,
        type='mmlight.NASFPN',
        in_channels=[128, 256, 512],
        out_channels=64,
        stack_times=3,
        norm_cfg=norm_cfg,
    ),
    bbox_head=dict(
        _delete_=True,
        type='RetinaSepBNHead',
        num_classes=3,
        num_ins=5,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        norm_cfg=norm_cfg,
        anchor_generator=_base_.model.bbox_head.anchor_generator,
        bbox_coder=_base_.model.bbox_head.bbox_coder,
        loss_cls=_base_.model.bbox_head.loss_cls,
        loss_bbox=_base_.model.bbox_head.loss_bbox,
    ),
)
