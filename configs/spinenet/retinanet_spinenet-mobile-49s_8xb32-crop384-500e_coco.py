# Mobile SpineNet-49S, App. A of arXiv 1912.05027; trained as by protocol C; the 600e form has the published schedule.
_base_ = './retinanet_spinenet-mobile-49_8xb32-crop384-500e_coco.py'

model = dict(backbone=dict(arch='49S'), bbox_head=dict(in_channels=40))
