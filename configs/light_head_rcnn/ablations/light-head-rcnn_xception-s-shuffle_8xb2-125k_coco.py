# Setting S with ShuffleNetV1's unit instead of three separable convolutions.
_base_ = '../light-head-rcnn_xception-s_8xb2-125k_coco.py'
model = dict(backbone=dict(block='shuffle'))
