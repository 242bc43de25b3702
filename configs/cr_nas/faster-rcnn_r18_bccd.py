# Blood cells (BCCD, 205 training images; MMLIGHT_DATA names the folder that holds bccd/)
# at 192x144: a small Faster R-CNN with a quarter of ResNet-18's width, from scratch. What the small searches fill in.
_base_ = [
    '../_base_/models/faster_rcnn_r50_fpn.py',
    '../_base_/datasets/coco_small_192.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
annotations = '{{$MMLIGHT_DATA:../shared/data}}/bccd/annotations/'
images = '{{$MMLIGHT_DATA:../shared/data}}/bccd/'
metainfo = dict(classes=('RBC', 'WBC', 'Platelets'))

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
        bbox_head=dict(in_channels=32, fc_out_channels=128, num_classes=3),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=100, max_per_img=50),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=100, max_per_img=50), rcnn=dict(max_per_img=50)),
)

# cells have no up and down
train_pipeline = _base_.train_pipeline
train_pipeline[3].update(prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal'])
train_dataloader = dict(
    dataset=dict(
        ann_file=annotations + 'instances_train.json',
        data_prefix=dict(img=images + 'train/'),
        metainfo=metainfo,
        pipeline=train_pipeline,
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
