# Step 4: choose a dilation for each of the sixteen blocks, 138 candidates.
_base_ = './op-supernet_scr-r50_8xb2-25e_coco.py'
load_from = 'work_dirs/op-supernet_scr-r50_8xb2-25e_coco/epoch_25.pth'
param_scheduler = None
train_cfg = dict(_delete_=True, type='mmlight.GreedyOpSearchLoop', targets=['faster-rcnn_scr-r50_8xb2-12e_coco'])
