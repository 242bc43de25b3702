# arXiv 1711.07264, "+ PS pooling with alignment": NMS at 0.3.
_base_ = '../light-head-rcnn_r101_8xb2-125k_coco.py'
model = dict(test_cfg=dict(rcnn=dict(nms=dict(iou_threshold=0.3))))
