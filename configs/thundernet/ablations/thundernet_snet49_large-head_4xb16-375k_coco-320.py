# arXiv 1903.11752, balance of backbone and head: a small backbone with the large head (3x3 RPN, 2048-d fc).
# The paper does not spell this head out: it is the baseline's RPN and fc with both modules.
_base_ = '../thundernet_snet49_4xb16-375k_coco-320.py'

model = dict(
    neck=dict(rpn_trunk='conv3x3'),
    roi_head=dict(bbox_head=dict(fc_out_channels=2048)),
)
