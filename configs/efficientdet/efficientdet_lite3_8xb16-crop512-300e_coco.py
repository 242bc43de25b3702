# EfficientDet-Lite3: google/automl, efficientdet (Lite).
_base_ = [
    '../_base_/models/efficientdet_lite0.py',
    '../_base_/datasets/coco_efficientdet_512.py',
    '../_base_/schedules/efficientdet_300e.py',
    '../_base_/default_runtime_det.py',
]
size = 512

model = dict(
    data_preprocessor=dict(pad_size_divisor=size),
    backbone=dict(arch='lite3', init_cfg=dict(type='Pretrained', checkpoint='mmlight://timm_efficientnet_lite3')),
    neck=dict(in_channels=[48, 136, 384], out_channels=160, num_cells=6),
    bbox_head=dict(
        in_channels=160, stacked_convs=4, anchor_generator=dict(octave_base_scale=4, strides=[8, 16, 32, 64, 128])
    ),
)

custom_hooks = [*_base_.custom_hooks, _base_.ema]
