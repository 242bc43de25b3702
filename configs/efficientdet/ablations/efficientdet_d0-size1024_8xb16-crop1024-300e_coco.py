# One dimension of D0 scaled alone, arXiv 1911.09070, Fig. 6: the input size. The factor is chosen here.
_base_ = '../efficientdet_d0_8xb16-crop512-300e_coco.py'
size = 1024

model = dict(data_preprocessor=dict(pad_size_divisor=size))

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(size, size), crop_size=(size, size))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(size, size))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
