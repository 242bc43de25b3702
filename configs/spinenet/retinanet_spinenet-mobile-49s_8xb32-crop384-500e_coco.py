# Mobile SpineNet-49S, App. A of arXiv 1912.05027; the schedule, not published, is protocol C.
_base_ = './retinanet_spinenet-mobile-49_8xb32-crop384-500e_coco.py'

model = dict(backbone=dict(arch='49S'), bbox_head=dict(in_channels=40))
