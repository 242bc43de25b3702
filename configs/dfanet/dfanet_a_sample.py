# The built-in sample data set (`mmlight sample`), from scratch, in minutes on a CPU.
_base_ = [
    '../_base_/models/dfanet.py',
    '../_base_/datasets/sample_seg.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_seg_epochs.py',
]

model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=dict(num_classes=15))

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=6)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
randomness = dict(seed=0)
