"""A project that trains in seconds: the sample data set in small, detection and segmentation configs."""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from mmlight.data import sample

REPOSITORY = Path(__file__).resolve().parents[1]

DETECTION = """
default_scope = 'mmdet'
custom_imports = dict(imports=['mmlight'], allow_failed_imports=False)
data_root = {data!r}
classes = {classes!r}
norm_cfg = dict(type='BN')
model = dict(
    type='FCOS',
    data_preprocessor=dict(type='DetDataPreprocessor', std=[64, 64, 64], mean=[128, 128, 128], pad_size_divisor=32),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(1, 2, 3),
                  norm_cfg=norm_cfg, norm_eval=False, init_cfg=None),
    neck=dict(type='FPN', in_channels=[16, 32, 64], out_channels=16, num_outs=3),
    bbox_head=dict(type='FCOSHead', num_classes=len(classes), in_channels=16, stacked_convs=1, feat_channels=16,
                   strides=[8, 16, 32], regress_ranges=((-1, 32), (32, 64), (64, 1e8)), norm_cfg=norm_cfg),
    test_cfg=dict(nms_pre=100, score_thr=0.0, nms=dict(type='nms', iou_threshold=0.6), max_per_img=20))
train_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True), dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'), dict(type='RandomResize', scale=[(128, 96), (160, 128)], keep_ratio=True),
    dict(type='PackDetInputs')]
test_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='Resize', scale=(128, 96), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'))]
train_dataloader = dict(
    batch_size=4, num_workers=2, persistent_workers=True, sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(type='CocoDataset', data_root=data_root, ann_file='annotations/instances_train.json',
                 data_prefix=dict(img='leftImg8bit/train/'), metainfo=dict(classes=classes), pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CocoDataset', data_root=data_root, ann_file='annotations/instances_val.json', test_mode=True,
                 data_prefix=dict(img='leftImg8bit/val/'), metainfo=dict(classes=classes), pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='CocoMetric', ann_file=data_root + 'annotations/instances_val.json', metric='bbox')
test_evaluator = val_evaluator
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=3, val_interval=3)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3))
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=4),
                   dict(type='CosineAnnealingLR', T_max=3, by_epoch=True)]
default_hooks = dict(
    timer=dict(type='IterTimerHook'), logger=dict(type='LoggerHook', interval=1),
    param_scheduler=dict(type='ParamSchedulerHook'), sampler_seed=dict(type='DistSamplerSeedHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=1),
    visualization=dict(type='DetVisualizationHook'))
visualizer = dict(type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
env_cfg = dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl'))
randomness = dict(seed=3)
"""

BY_ITERATIONS = """
_base_ = 'det.py'
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=9, val_interval=5)
train_dataloader = dict(num_workers=0, persistent_workers=False, sampler=dict(type='InfiniteSampler'))
param_scheduler = [dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=4)]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=4))
log_processor = dict(by_epoch=False)
"""

SEGMENTATION = """
default_scope = 'mmseg'
custom_imports = dict(imports=['mmlight'], allow_failed_imports=False)
data_root = {data!r}
norm_cfg = dict(type='SyncBN')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[128, 128, 128], std=[64, 64, 64], bgr_to_rgb=True,
                           pad_val=0, seg_pad_val=255, size=(64, 64)),
    backbone=dict(type='ResNetV1c', depth=18, base_channels=8, stem_channels=8, norm_cfg=norm_cfg, norm_eval=False),
    decode_head=dict(type='FCNHead', in_channels=64, in_index=3, channels=16, num_convs=1, concat_input=False,
                     num_classes=19, norm_cfg=norm_cfg, loss_decode=dict(type='CrossEntropyLoss')),
    train_cfg=dict(), test_cfg=dict(mode='whole'))
train_pipeline = [
    dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size=(64, 64), cat_max_ratio=0.75), dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs')]
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
train_dataloader = dict(
    batch_size=4, num_workers=0, sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='CityscapesDataset', data_root=data_root, pipeline=train_pipeline,
                 data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='gtFine/train')))
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CityscapesDataset', data_root=data_root, pipeline=test_pipeline,
                 data_prefix=dict(img_path='leftImg8bit/val', seg_map_path='gtFine/val')))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=4)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
param_scheduler = [dict(type='PolyLR', eta_min=1e-5, power=0.9, begin=0, end=4, by_epoch=False)]
default_hooks = dict(
    timer=dict(type='IterTimerHook'), logger=dict(type='LoggerHook', interval=1, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'), sampler_seed=dict(type='DistSamplerSeedHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2), visualization=dict(type='SegVisualizationHook'))
visualizer = dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')])
env_cfg = dict(mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0), dist_cfg=dict(backend='nccl'))
log_processor = dict(by_epoch=False)
randomness = dict(seed=3)
tta_model = dict(type='SegTTAModel')
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[
        [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
        [dict(type='LoadAnnotations')], [dict(type='PackSegInputs')]])]
"""


@functools.cache
def project() -> Path:
    """A folder with ``data/``, ``det.py`` (epochs, 2 workers), ``det_iter.py`` (iterations, 0 workers), ``seg.py``."""
    folder = Path(tempfile.mkdtemp(prefix='mmlight-test-'))
    sample.generate(folder / 'data', num_train=12, num_val=4, size=(128, 96), progress=False)
    fields = {'data': f'{folder}/data/', 'classes': sample.CLASSES}
    (folder / 'det.py').write_text(DETECTION.format(**fields))
    (folder / 'seg.py').write_text(SEGMENTATION.format(**fields))
    (folder / 'det_iter.py').write_text(BY_ITERATIONS)
    return folder


def environment() -> dict[str, str]:
    """For subprocesses that run this checkout."""
    path = os.pathsep.join(filter(None, (str(REPOSITORY), os.environ.get('PYTHONPATH'))))
    return {**os.environ, 'PYTHONPATH': path}


def mmlight(*arguments: object) -> subprocess.Popen:
    """``mmlight ARGUMENTS`` as a process of its own session, output piped."""
    command = [sys.executable, '-m', 'mmlight.cli', *map(str, arguments)]
    pipe = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT, 'text': True}
    return subprocess.Popen(command, env=environment(), start_new_session=True, **pipe)
