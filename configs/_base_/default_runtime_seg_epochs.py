# Small data sets, whose training counts epochs.
_base_ = './default_runtime_seg.py'

default_hooks = dict(
    logger=dict(interval=10, log_metric_by_epoch=True), checkpoint=dict(by_epoch=True, interval=1, max_keep_ckpts=2)
)
log_processor = dict(by_epoch=True)
