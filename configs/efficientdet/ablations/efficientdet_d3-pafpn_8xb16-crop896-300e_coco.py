# Cross-scale connections, arXiv 1911.09070, Table 5: repeated FPN + PANet, unweighted.
# How often the paper repeats it is not published; here as often as D3 its BiFPN.
_base_ = '../efficientdet_d3_8xb16-crop896-300e_coco.py'

model = dict(neck=dict(type='mmlight.GraphFPN', graph='pafpn', fusion='sum'))
