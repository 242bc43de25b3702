# COCO 2017 with masks, otherwise as coco_detection_1333.py.
_base_ = './coco_detection_1333.py'

train_pipeline = _base_.train_pipeline
train_pipeline[1].update(with_mask=True)
test_pipeline = _base_.test_pipeline
test_pipeline[2].update(with_mask=True)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
