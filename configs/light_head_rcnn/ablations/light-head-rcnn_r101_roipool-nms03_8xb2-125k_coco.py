# RoI pooling of all 490 channels instead of position-sensitive pooling (arXiv 1711.07264): a RoI has 49 times the
# features. Otherwise as with PSRoIPool.
_base_ = '../light-head-rcnn_r101_8xb2-125k_coco.py'
model = dict(
    roi_head=dict(
        bbox_roi_extractor=dict(
            _delete_=True,
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIPool', output_size=7),
            out_channels=490,
            featmap_strides=[16],
        ),
        bbox_head=dict(in_channels=490),
    ),
    test_cfg=dict(rcnn=dict(nms=dict(iou_threshold=0.3))),
)
