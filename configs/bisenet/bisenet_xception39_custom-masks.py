# BiSeNet on images and masks of your own, from scratch: mmlight train bisenet_xception39_custom-masks --data DIR
_base_ = [
    '../_base_/models/bisenet_xception39_small.py',
    '../_base_/datasets/custom_masks.py',
    '../_base_/schedules/adamw_epochs_seg.py',
    '../_base_/default_runtime_seg_epochs.py',
]

model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=dict(num_classes=2))

max_epochs = 40
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
