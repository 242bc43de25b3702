# Softmax instead of fast fusion, arXiv 1911.09070, Table 6. The paper does not name its three models; D0, D2 and D4
# are the nearest by AP.
_base_ = '../efficientdet_d2_8xb16-crop768-300e_coco.py'

model = dict(neck=dict(fusion='softmax'))
