_base_ = [
    '../_base_/models/efficientdet_d0.py',
    '../_base_/datasets/coco_efficientdet_512.py',
    '../_base_/schedules/efficientdet_300e.py',
    '../_base_/default_runtime_det.py',
]

custom_hooks = [
    *_base_.custom_hooks,
    # keeps min(0.9998, (1 + n) / (10 + n)) of the average, as the authors' code
    dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=2e-4, gamma=9, update_buffers=True, priority=49),
]
