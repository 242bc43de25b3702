# arXiv 1903.11752, ablation of the detection part: with spatial attention, without context enhancement.
_base_ = '../thundernet_snet146_4xb16-375k_coco-320.py'

model = dict(neck=dict(context='separate'))
