# arXiv 1711.07264, large kernel and light subnet: R-FCN's pooling, NMS at 0.3.
_base_ = '../light-head-rcnn_r101_8xb2-125k_coco.py'
model = dict(
    roi_head=dict(bbox_roi_extractor=dict(roi_layer=dict(_delete_=True, type='mmlight.PSRoIPool', output_size=7))),
    test_cfg=dict(rcnn=dict(nms=dict(iou_threshold=0.3))),
)
