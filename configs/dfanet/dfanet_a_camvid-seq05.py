# One drive of CamVid (84 training images) from scratch. MMLIGHT_DATA names the folder that holds camvid_seq05/.
_base_ = [
    '../_base_/models/dfanet_small.py',
    '../_base_/datasets/camvid_seq05.py',
    '../_base_/schedules/adamw_epochs_seg.py',
    '../_base_/default_runtime_seg_epochs.py',
]

model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=dict(num_classes=11))
train_dataloader = dict(batch_size=4)

max_epochs = 21
train_cfg = dict(max_epochs=max_epochs, val_interval=21)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(begin=12, T_max=9)  # a constant rate first
