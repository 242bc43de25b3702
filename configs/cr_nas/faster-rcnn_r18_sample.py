# The built-in sample data set (`mmlight sample --out data/sample`)
# at 192x144: a small Faster R-CNN with a quarter of ResNet-18's width, from scratch. What the small searches fill in.
_base_ = [
    '../_base_/models/faster_rcnn_r50_fpn.py',
    '../_base_/datasets/coco_small_192.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
annotations = 'data/sample/annotations/'
images = 'data/sample/leftImg8bit/'
metainfo = dict(
    classes=('person', 'rider', 'car', 'bus', 'bicycle', 'traffic light', 'traffic sign'),
    palette=[(220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 60, 100), (119, 11, 32), (250, 170, 30), (220, 220, 0)],
)

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmlight.CRResNet',
        depth=18,
        base_channels=16,
        norm_cfg=dict(type='BN'),
        norm_eval=False,
    ),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=32),
    rpn_head=dict(in_channels=32, feat_channels=32, anchor_generator=dict(scales=[3])),
    roi_head=dict(
        # an object of 28 pixels is large here: every level of the pyramid gets its share of the RoIs
        bbox_roi_extractor=dict(out_channels=32, finest_scale=14),
        bbox_head=dict(in_channels=32, fc_out_channels=128, num_classes=7),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=100, max_per_img=50),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=100, max_per_img=50), rcnn=dict(max_per_img=50)),
)

train_dataloader = dict(
    dataset=dict(
        ann_file=annotations + 'instances_train.json', data_prefix=dict(img=images + 'train/'), metainfo=metainfo
    )
)
val_dataloader = dict(
    dataset=dict(ann_file=annotations + 'instances_val.json', data_prefix=dict(img=images + 'val/'), metainfo=metainfo)
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=annotations + 'instances_val.json')
test_evaluator = val_evaluator

max_epochs = 24
train_cfg = dict(max_epochs=max_epochs, val_interval=8)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1, save_best=None))
randomness = dict(seed=0)
