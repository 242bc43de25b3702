# Cross-scale connections, arXiv 1911.09070, Table 5: BiFPN without weights.
_base_ = '../efficientdet_d3_8xb16-crop896-300e_coco.py'

model = dict(neck=dict(fusion='sum'))
