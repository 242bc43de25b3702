# Twice the schedule, for training from scratch.
_base_ = './dfanet_a_4xb12-80k_cityscapes-1024x1024.py'

max_iters = 160000
train_cfg = dict(max_iters=max_iters, val_interval=16000)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters)
