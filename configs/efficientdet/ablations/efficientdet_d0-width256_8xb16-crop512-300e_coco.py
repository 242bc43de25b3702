# One dimension of D0 scaled alone, arXiv 1911.09070, Fig. 6: the channels of neck and head. The factor is chosen here.
_base_ = '../efficientdet_d0_8xb16-crop512-300e_coco.py'

model = dict(neck=dict(out_channels=256), bbox_head=dict(in_channels=256))
