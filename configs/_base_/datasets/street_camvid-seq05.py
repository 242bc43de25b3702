# One drive of CamVid (84 training and 30 validation images of 360x480) in Cityscapes' layout. The Cityscapes classes
# that do not occur in it are left out, so that the mean IoU is that of the others. MMLIGHT_DATA names the folder that
# holds camvid_seq05/.
_base_ = './street_sample.py'
data_root = '{{$MMLIGHT_DATA:../shared/data}}/camvid_seq05/'
metainfo = dict(
    classes=(
        'road',
        'sidewalk',
        'building',
        'fence',
        'pole',
        'traffic sign',
        'vegetation',
        'sky',
        'person',
        'rider',
        'car',
    )
)
crop_size = (240, 320)  # for a CPU's sake

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(480, 360), ratio_range=(0.5, 1.5))
train_pipeline[3].update(crop_size=crop_size)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(480, 360))

train_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = val_dataloader
