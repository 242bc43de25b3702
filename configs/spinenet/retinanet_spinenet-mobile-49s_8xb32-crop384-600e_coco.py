# Mobile SpineNet-49S, App. A of arXiv 1912.05027; the published schedule of 49.
_base_ = './retinanet_spinenet-mobile-49_8xb32-crop384-600e_coco.py'

model = dict(backbone=dict(arch='49S'), bbox_head=dict(in_channels=40))
