# The real-time form: crops of 768x1536 of the scaled image, tested on images of 768x1536 and labels of 1024x2048.
_base_ = './bisenet_r18_4xb4-160k_cityscapes-1024x1024.py'
crop_size = (768, 1536)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(crop_size=crop_size)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=(1536, 768))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

ohem = dict(_base_.ohem, min_kept=73728)  # a sixteenth of the crop
auxiliary_head = _base_.model.auxiliary_head
for head in auxiliary_head:
    head.update(sampler=ohem)
model = dict(data_preprocessor=dict(size=crop_size), decode_head=dict(sampler=ohem), auxiliary_head=auxiliary_head)
