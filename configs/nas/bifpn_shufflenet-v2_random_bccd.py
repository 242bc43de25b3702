# Random search over the pyramids of super-bifpn_shufflenet-v2_bccd, each trained for 5 epochs.
_base_ = './nas-fpn_shufflenet-v2_bccd.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmlight.GraphFPN',
        graph='bifpn',  # a place for what the search puts there
        in_channels=[48, 96, 192],
        out_channels=16,
        norm_cfg=dict(type='BN'),
    ),
    bbox_head=dict(feat_channels=32),
)
val_evaluator = dict(type='mmlight.ExactCocoMetric')

search = dict(
    space=dict(
        _delete_=True,
        type='BiFPNSpace',
        fusions=['sum', 'fast'],
        num_cells=[1, 2, 3],
        channels=[16, 24, 32, 40],
    ),
    sampler=dict(_delete_=True, type='RandomSampler'),
    trials=32,
)
