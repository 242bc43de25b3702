# Gate of the fusion as in mmseg: one 1x1 convolution with norm and ReLU, which keeps it above a half.
_base_ = '../bisenet_xception39_4xb4-160k_cityscapes-1024x1024.py'

model = dict(backbone=dict(fusion='one-conv'))
