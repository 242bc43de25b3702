# Cross-scale connections, arXiv 1911.09070, Table 5: NAS-FPN with separable convolutions.
# How often the paper stacks it is not published; here as often as D3 its BiFPN.
_base_ = '../efficientdet_d3_8xb16-crop896-300e_coco.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmlight.NASFPN',
        in_channels=[48, 136, 384],
        out_channels=160,
        stack_times=6,
        separable=True,
        act_cfg=dict(type='SiLU'),
    )
)
