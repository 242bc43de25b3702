# Step 2: score the 153 allocations of sixteen blocks.
_base_ = './stage-supernet_r50_8xb2-25e_coco.py'
load_from = 'work_dirs/stage-supernet_r50_8xb2-25e_coco/epoch_25.pth'
param_scheduler = None
train_cfg = dict(
    _delete_=True,
    type='mmlight.StageSearchLoop',
    budget=16,
    targets=[
        'op-supernet_scr-r50_8xb2-25e_coco',
        'op-search_scr-r50_8xb2-25e_coco',
        'faster-rcnn_scr-r50_8xb2-12e_coco',
    ],
)
