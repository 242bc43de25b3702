# Step 2 for ResNet-101, with the same supernet: the 374 allocations of 33 blocks.
_base_ = './stage-supernet_r50_8xb2-25e_coco.py'
load_from = 'work_dirs/stage-supernet_r50_8xb2-25e_coco/epoch_25.pth'
param_scheduler = None
train_cfg = dict(
    _delete_=True,
    type='mmlight.StageSearchLoop',
    budget=33,
    targets=['faster-rcnn_scr-r101_8xb2-12e_coco'],
)
