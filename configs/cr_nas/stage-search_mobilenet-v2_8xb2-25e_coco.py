# Step 2 for MobileNetV2: the 366 allocations whose backbone costs within 6 % of the baseline's multiply-adds. The
# paper's 43: budget=16, weights=(1.5, 1, 1, 0.75, 1.25), tolerance=0.
_base_ = './stage-supernet_mobilenet-v2_8xb2-25e_coco.py'
load_from = 'work_dirs/stage-supernet_mobilenet-v2_8xb2-25e_coco/epoch_25.pth'
param_scheduler = None
# millions of multiply-adds of a further block of each group, for an image of 224x224
weights = (25.740288, 10.988544, 10.311168, 22.692096, 15.47616)
budget = 2 * weights[0] + 3 * weights[1] + 4 * weights[2] + 3 * weights[3] + 3 * weights[4]
train_cfg = dict(
    _delete_=True,
    type='mmlight.StageSearchLoop',
    budget=budget,
    weights=weights,
    tolerance=0.06 * 299.494272,
    targets=['faster-rcnn_scr-mobilenet-v2_8xb2-12e_coco'],
)
