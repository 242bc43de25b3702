# Blood cells (BCCD, 205 training images) from scratch. MMLIGHT_DATA names the folder that holds bccd/.
_base_ = [
    '../_base_/models/thundernet.py',
    '../_base_/datasets/coco_small_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
data_root = '{{$MMLIGHT_DATA:../shared/data}}/bccd/'
metainfo = dict(classes=('RBC', 'WBC', 'Platelets'))

model = dict(
    roi_head=dict(bbox_head=dict(num_classes=3)),
    # fewer RoIs than COCO's, for a CPU's sake
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=300)),
    test_cfg=dict(rpn=dict(nms_pre=1000)),
)

# cells have no up and down
train_pipeline = _base_.train_pipeline
train_pipeline[6].update(prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal'])
train_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
