# 50 images of COCO through the unmodified COCO pipeline: proves that it runs, and that the network can learn 50 images
# by heart. Hence the evaluation looks at the *training* images; nothing here says how well it detects.
# MMLIGHT_DATA names the folder that holds tiny_coco/.
_base_ = [
    '../_base_/models/thundernet.py',
    '../_base_/datasets/coco_detection_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
data_root = '{{$MMLIGHT_DATA:../shared/data}}/tiny_coco/'
ann_file = 'annotations/instances_train2017.json'

model = dict(
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=300)),
    test_cfg=dict(rpn=dict(nms_pre=1000)),
)
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True),
    dataset=dict(
        _delete_=True,
        type='RepeatDataset',
        times=10,
        dataset={**_base_.train_dataloader.dataset, 'data_root': data_root},
    ),
)
val_dataloader = dict(
    num_workers=1, dataset=dict(data_root=data_root, ann_file=ann_file, data_prefix=dict(img='train2017/'))
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + ann_file)
test_evaluator = val_evaluator

max_epochs = 60
train_cfg = dict(max_epochs=max_epochs, val_interval=10)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(T_max=max_epochs)
