# Trained on crops of 1024x1024, evaluated on whole images of 1024x2048.
_base_ = [
    '../_base_/models/bisenet_xception39.py',
    '../_base_/datasets/cityscapes_1024x1024.py',
    '../_base_/schedules/poly_160k.py',
    '../_base_/default_runtime_seg.py',
]
