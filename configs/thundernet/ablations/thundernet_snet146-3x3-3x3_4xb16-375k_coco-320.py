# arXiv 1903.11752, backbone ablation: 3x3 depthwise convolutions, one more of them at the head of each unit.
_base_ = '../thundernet_snet146_4xb16-375k_coco-320.py'

model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True, stem=24, stages=((132, 4), (264, 8), (528, 4)), final=None, kernel=3, leading_depthwise=True
        )
    )
)
