# arXiv 1903.11752, ablation of the detection part: with context enhancement, without attention.
_base_ = '../thundernet_snet146_4xb16-375k_coco-320.py'

model = dict(neck=dict(spatial_attention=False))
