# CamVid at full size. Neither paper nor code give its schedule: a quarter of that of Cityscapes.
_base_ = [
    '../_base_/models/bisenet_xception39.py',
    '../_base_/datasets/camvid_720x960.py',
    '../_base_/schedules/poly_160k.py',
    '../_base_/default_runtime_seg.py',
]
ohem = dict(_base_.ohem, min_kept=43200)  # a sixteenth of the crop

decode_head = dict(num_classes=11, sampler=ohem)
auxiliary_head = _base_.model.auxiliary_head
for head in auxiliary_head:
    head.update(decode_head)
model = dict(data_preprocessor=dict(size=_base_.crop_size), decode_head=decode_head, auxiliary_head=auxiliary_head)

max_iters = 40000
train_cfg = dict(max_iters=max_iters, val_interval=4000)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=max_iters)
