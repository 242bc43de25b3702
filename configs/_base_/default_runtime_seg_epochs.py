# Segmentation of small data sets, trained by epochs.
_base_ = './default_runtime_seg.py'

default_hooks = dict(
    logger=dict(log_metric_by_epoch=True, interval=10),
    checkpoint=dict(by_epoch=True, interval=1),
)
env_cfg = dict(cudnn_benchmark=False)
log_processor = dict(by_epoch=True)
