# Setting S with a last stage of stride 16.
_base_ = '../light-head-rcnn_xception-s_8xb2-125k_coco.py'
model = dict(
    backbone=dict(c5_stride=16),
    roi_head=dict(bbox_roi_extractor=dict(featmap_strides=[16])),
)
