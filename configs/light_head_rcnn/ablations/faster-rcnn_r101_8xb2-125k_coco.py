# arXiv 1711.07264: Faster R-CNN with the settings of B2; 256 channels, RoI pooling, two layers (our reading).
_base_ = '../../rfcn/rfcn_r101_8xb2-125k_coco.py'
model = dict(
    neck=dict(out_channels=256),
    roi_head=dict(
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor', roi_layer=dict(type='RoIPool', output_size=7), out_channels=256
        ),
        bbox_head=dict(
            type='mmlight.LightHeadBBoxHead',
            in_channels=256,
            num_shared_fcs=2,
            fc_out_channels=1024,
            reg_class_agnostic=False,
        ),
    ),
)
