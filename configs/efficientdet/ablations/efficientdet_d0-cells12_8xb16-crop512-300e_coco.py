# One dimension of D0 scaled alone, arXiv 1911.09070, Fig. 6: the BiFPN cells. The factor is chosen here.
_base_ = '../efficientdet_d0_8xb16-crop512-300e_coco.py'

model = dict(neck=dict(num_cells=12))
