# Step 2: score the nine allocations of eight blocks.
_base_ = './faster-rcnn_r18_bccd.py'
annotations = 'data/bccd/'  # what tools/dataset_converters/arch_split.py wrote

model = dict(
    backbone=dict(
        type='mmlight.CRStageSuperResNet',
        base_channels=16,
        stem_channels=16,
        choices=((1, 2, 3), (1, 2, 3), (2, 3), (2, 3, 4)),  # what eight blocks can be
    )
)
train_dataloader = dict(dataset=dict(ann_file=annotations + 'instances_archtrain.json'))
val_dataloader = dict(
    dataset=dict(ann_file=annotations + 'instances_archval.json', data_prefix=dict(img=_base_.images + 'train/'))
)
val_evaluator = dict(ann_file=annotations + 'instances_archval.json')

load_from = 'work_dirs/stage-supernet_r18_bccd/epoch_30.pth'
param_scheduler = None
find_unused_parameters = True
train_cfg = dict(
    _delete_=True,
    type='mmlight.StageSearchLoop',
    budget=8,
    recalibration=20,
    targets=['op-supernet_r18_bccd', 'op-search_r18_bccd', 'faster-rcnn_r18_bccd'],
)
