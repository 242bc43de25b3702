# Step 2 for ResNet-18: the nine allocations of eight blocks.
_base_ = './stage-supernet_r18_8xb2-25e_coco.py'
load_from = 'work_dirs/stage-supernet_r18_8xb2-25e_coco/epoch_25.pth'
param_scheduler = None
train_cfg = dict(
    _delete_=True,
    type='mmlight.StageSearchLoop',
    budget=8,
    targets=['faster-rcnn_scr-r18_8xb2-12e_coco'],
)
