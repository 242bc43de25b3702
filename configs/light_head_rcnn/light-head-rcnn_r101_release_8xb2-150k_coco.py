# The authors' release: boxes for each class, no shift by half a pixel, an RPN that chooses between two classes by
# softmax, long sides up to 1333. RoIs that leave the map are treated as elsewhere in mmlight.
_base_ = './light-head-rcnn_r101_8xb2-125k_coco.py'

model = dict(
    rpn_head=dict(loss_cls=dict(use_sigmoid=False)),
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(aligned=False)),
        bbox_head=dict(reg_class_agnostic=False),
    ),
)

train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2].update(scales=[(1333, 800)])
test_pipeline[1].update(scale=(1333, 800))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# 2.4 M images
train_cfg = dict(max_iters=150000)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=150000, milestones=[95000, 125000])
