# Short training of a segmentor from scratch: as the detectors', four times the rate, with shorter steps and warm-up.
_base_ = './adamw_epochs.py'

param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=30)
optim_wrapper = dict(optimizer=dict(lr=8e-3), clip_grad=dict(max_norm=1))
