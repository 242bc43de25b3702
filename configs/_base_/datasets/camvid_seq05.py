# One drive of CamVid (84 and 30 images of 360x480) in Cityscapes' layout. MMLIGHT_DATA names the folder that holds
# camvid_seq05/. Only the classes that occur are trained, so that the mean IoU is over these alone.
_base_ = './cityscapes_small.py'
data_root = '{{$MMLIGHT_DATA:../shared/data}}/camvid_seq05/'
metainfo = dict(
    classes=(
        'road', 'sidewalk', 'building', 'fence', 'pole', 'traffic sign', 'vegetation', 'sky', 'person', 'rider', 'car',
    ),
    palette=[
        (128, 64, 128), (244, 35, 232), (70, 70, 70), (190, 153, 153), (153, 153, 153), (220, 220, 0), (107, 142, 35),
        (70, 130, 180), (220, 20, 60), (255, 0, 0), (0, 0, 142),
    ],
)  # fmt: skip

train_pipeline = _base_.train_pipeline
train_pipeline[6].update(num_classes=11)
test_pipeline = _base_.test_pipeline
test_pipeline[3].update(num_classes=11)

train_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader
