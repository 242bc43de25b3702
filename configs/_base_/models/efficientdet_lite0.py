# EfficientDet-Lite0 (google/automl, efficientdet): no squeeze-and-excitation, ReLU6, unweighted fusion.
_base_ = './efficientdet_d0.py'
size = 320
relu6 = dict(type='ReLU6')
model = dict(
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3, pad_size_divisor=size),
    backbone=dict(
        _delete_=True,
        type='mmlight.EfficientNetLite',
        arch='lite0',
        drop_path_rate=0.2,
        norm_cfg=dict(type='BN', eps=1e-3, momentum=0.01),
    ),
    neck=dict(fusion='sum', act_cfg=relu6),
    # 320 gives 3 cells on the coarsest level
    bbox_head=dict(act_cfg=relu6, anchor_generator=dict(octave_base_scale=3, strides=[8, 16, 32, 64, size / 3])),
)
