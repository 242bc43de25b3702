# arXiv 1903.11752, ablation of the detection part: the baseline with the 5x5 depthwise RPN.
_base_ = '../thundernet_snet146_4xb16-375k_coco-320.py'

model = dict(
    neck=dict(context='separate', spatial_attention=False),
    roi_head=dict(bbox_head=dict(fc_out_channels=2048)),
)
