# arXiv 1711.07264: B2 with thin maps from the large separable convolution, one layer and R-FCN's pooling.
_base_ = '../../rfcn/rfcn_r101_8xb2-125k_coco.py'
model = dict(
    neck=dict(type='mmlight.LightHeadNeck', mid_channels=256, out_channels=490),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=10),
        bbox_head=dict(type='mmlight.OneLayerBBoxHead', in_channels=10, reg_class_agnostic=True),
    ),
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            'neck': dict(lr_mult=3.0),
            'first.0.bias': dict(lr_mult=3.0, decay_mult=0.0),
            'first.1.bias': dict(lr_mult=3.0, decay_mult=0.0),
        }
    )
)
