# The built-in sample data set (`mmlight sample`), from scratch, in minutes on a CPU.
_base_ = [
    '../_base_/models/thundernet.py',
    '../_base_/datasets/sample_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]

model = dict(
    roi_head=dict(bbox_head=dict(num_classes=7)),
    # fewer RoIs than COCO's, for a CPU's sake
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=300)),
    test_cfg=dict(rpn=dict(nms_pre=1000)),
)

max_epochs = 16
train_cfg = dict(max_epochs=max_epochs, val_interval=8)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
randomness = dict(seed=0)
