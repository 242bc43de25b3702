# arXiv 1903.11752, ablation of the detection part: RPN with 3x3 convolution on C4, RoIs on upsampled C5, 2048-d fc.
_base_ = '../thundernet_snet146_4xb16-375k_coco-320.py'

model = dict(
    neck=dict(context='separate', rpn_trunk='conv3x3', spatial_attention=False),
    roi_head=dict(bbox_head=dict(fc_out_channels=2048)),
)
