# Cityscapes at half size: crops of 512x1024 of the halved images at 0.75 to 1.75 (DFANet A'); tested on the same.
_base_ = './cityscapes_1024x1024.py'
crop_size = (512, 1024)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scales=None, scale=(1024, 512), ratio_range=(0.75, 1.75), crop_size=crop_size)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(1024, 512))

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
