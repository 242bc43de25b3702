# The built-in sample data set (`mmlight sample`), from scratch at 256x256.
_base_ = './efficientdet_d0_bccd.py'
data_root = 'data/sample/'
metainfo = dict(
    classes=('person', 'rider', 'car', 'bus', 'bicycle', 'traffic light', 'traffic sign'),
    palette=[(220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 60, 100), (119, 11, 32), (250, 170, 30), (220, 220, 0)],
)

model = dict(bbox_head=dict(num_classes=7))

train_pipeline = _base_.train_pipeline
train_pipeline[6].update(prob=0.5, direction='horizontal')
train_dataloader = dict(
    dataset=dict(
        data_root=data_root, metainfo=metainfo, data_prefix=dict(img='leftImg8bit/train/'), pipeline=train_pipeline
    )
)
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, data_prefix=dict(img='leftImg8bit/val/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
