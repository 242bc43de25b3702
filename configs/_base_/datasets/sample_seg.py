# Segmentation of the built-in sample data set (`mmlight sample`), 288x384. Only the classes that occur are trained, so
# that the mean IoU is over these alone.
_base_ = './cityscapes_small.py'
data_root = 'data/sample/'
metainfo = dict(
    classes=(
        'road', 'sidewalk', 'building', 'fence', 'pole', 'traffic light', 'traffic sign', 'vegetation', 'terrain',
        'sky', 'person', 'rider', 'car', 'bus', 'bicycle',
    ),
    palette=[
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (190, 153, 153), (153, 153, 153), (250, 170, 30), (220, 220, 0),
        (107, 142, 35), (152, 251, 152), (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 60, 100),
        (119, 11, 32),
    ],
)  # fmt: skip

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(384, 288))
train_pipeline[6].update(num_classes=15)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(384, 288))
test_pipeline[3].update(num_classes=15)

train_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader
