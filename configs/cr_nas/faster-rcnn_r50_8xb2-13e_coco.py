# The baseline under the paper's schedule: 13 epochs, drops after 8 and 11.
_base_ = [
    '../_base_/models/faster_rcnn_r50_fpn.py',
    '../_base_/datasets/coco_detection_1333.py',
    '../_base_/schedules/sgd_12e.py',
    '../_base_/default_runtime_det.py',
]
max_epochs = 13
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs)
