# Detection on the built-in sample data set (`mmlight sample`, 240 and 60 images, 7 classes) at 320x320.
_base_ = './coco_small_320.py'
data_root = 'data/sample/'
metainfo = dict(
    classes=('person', 'rider', 'car', 'bus', 'bicycle', 'traffic light', 'traffic sign'),
    palette=[(220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 60, 100), (119, 11, 32), (250, 170, 30), (220, 220, 0)],
)

train_dataloader = dict(
    dataset=dict(data_root=data_root, metainfo=metainfo, data_prefix=dict(img='leftImg8bit/train/'))
)
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, data_prefix=dict(img='leftImg8bit/val/')))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator
