# arXiv 1904.02216, Tables 2 and 3: one backbone A, a classifier on its attention's output.
_base_ = [
    '../../_base_/models/dfanet.py',
    '../../_base_/datasets/cityscapes_1024x1024.py',
    '../../_base_/schedules/poly_80k.py',
    '../../_base_/default_runtime_seg.py',
]

model = dict(
    backbone=dict(num_branches=1),
    decode_head=dict(
        _delete_=True,
        type='FCNHead',
        num_convs=0,
        concat_input=False,
        dropout_ratio=0,
        in_channels=192,
        channels=192,
        num_classes=19,
        loss_decode=_base_.model.decode_head.loss_decode,
    ),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scales=None, scale=(2048, 1024), ratio_range=(0.75, 1.75))
train_dataloader = dict(batch_size=12, dataset=dict(pipeline=train_pipeline))
