# Blood cells (BCCD, 205 and 87 images, 3 classes) at 320x320. MMLIGHT_DATA names the folder that holds bccd/.
_base_ = './coco_small_320.py'
data_root = '{{$MMLIGHT_DATA:../shared/data}}/bccd/'
metainfo = dict(classes=('RBC', 'WBC', 'Platelets'))

# cells have no up and down
train_pipeline = _base_.train_pipeline
train_pipeline[6].update(prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal'])

train_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
