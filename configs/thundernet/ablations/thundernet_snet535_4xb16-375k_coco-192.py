# arXiv 1903.11752, input resolution against backbone: SNet535 at 192x192.
_base_ = '../thundernet_snet535_4xb16-375k_coco-320.py'

train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[4].update(scales=[(144, 144), (192, 192), (288, 288)])
test_pipeline[1].update(scale=(192, 192))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
