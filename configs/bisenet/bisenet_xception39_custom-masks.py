# BiSeNet on images and masks of your own, from scratch: mmlight train bisenet_xception39_custom-masks --data DIR
_base_ = [
    '../_base_/models/bisenet_xception39.py',
    '../_base_/datasets/custom_masks.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_seg_epochs.py',
]

# few and small pictures: every pixel counts
decode_head = dict(num_classes=2, sampler=None)
auxiliary_head = _base_.model.auxiliary_head
for head in auxiliary_head:
    head.update(decode_head)
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=decode_head,
    auxiliary_head=auxiliary_head,
)

max_epochs = 40
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=30)
param_scheduler[1].update(T_max=max_epochs)
