# arXiv 1903.11752, ablation of the detection part: 5x5 depthwise RPN and 1024-d fc.
_base_ = '../thundernet_snet146_4xb16-375k_coco-320.py'

model = dict(neck=dict(context='separate', spatial_attention=False))
