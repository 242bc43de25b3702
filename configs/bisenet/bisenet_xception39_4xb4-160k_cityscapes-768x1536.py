# The real-time form: crops of 768x1536 of the scaled image, tested on images of 768x1536 and labels of 1024x2048
# (the authors train and score this form on labels shrunk to 1/8).
_base_ = './bisenet_xception39_4xb4-160k_cityscapes-1024x1024.py'
crop_size = (768, 1536)
# scales of the authors' real-time form, 0.5 to 1.75
scales = [(1024, 512), (1536, 768), (2048, 1024), (2560, 1280), (3072, 1536), (3584, 1792)]

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scales=scales, crop_size=crop_size)
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
