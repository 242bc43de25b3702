# One drive of CamVid (84 training images) from scratch, in minutes on a CPU. MMLIGHT_DATA names the folder that holds
# camvid_seq05/.
_base_ = [
    '../_base_/models/bisenet_xception39_small.py',
    '../_base_/datasets/camvid_seq05.py',
    '../_base_/schedules/adamw_epochs_seg.py',
    '../_base_/default_runtime_seg_epochs.py',
]

model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=dict(num_classes=11))

max_epochs = 25
train_cfg = dict(max_epochs=max_epochs, val_interval=25)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
