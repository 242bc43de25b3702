# ThunderNet on a COCO folder of your own: annotations/instances_{train,val}.json, train/, val/. The classes are read
# from the JSON. Name the folder by `mmlight train ... --data DIR`, by MMLIGHT_COCO=DIR, or by data_root in a copy.
_base_ = [
    '../_base_/models/thundernet.py',
    '../_base_/datasets/coco_small_320.py',
    '../_base_/schedules/adamw_epochs.py',
    '../_base_/default_runtime_det.py',
]
from mmlight.data.coco_folder import coco_classes

data_root = '{{$MMLIGHT_COCO:data/my_coco}}/'
train_ann = 'annotations/instances_train.json'
val_ann = 'annotations/instances_val.json'

# without the folder the config can still be read; training then says which file is missing
classes = coco_classes(data_root + train_ann, default=('object',))
metainfo = dict(classes=classes)
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=len(classes))),
    train_cfg=dict(rpn_proposal=dict(nms_pre=1000, max_per_img=300)),
    test_cfg=dict(rpn=dict(nms_pre=1000)),
)

train_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + val_ann)
test_evaluator = val_evaluator
