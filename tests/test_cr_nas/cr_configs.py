"""The small configs of every step, on a tiny data set and a tiny network."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build

CONFIGS = Path(__file__).parents[2] / 'configs' / 'cr_nas'
TINY = {
    'stage': dict(base_channels=4, stem_channels=4, choices=((1, 2), (1, 2), (2,), (2, 3, 4))),
    'op': dict(base_channels=4, stage_blocks=(1, 1, 1, 1), ops=(1, 2)),
}


@METRICS.register_module(force=True)
class TotalConfidence(BaseMetric):
    """Differs between any two networks, trained or not, which average precision does not."""

    default_prefix = 'toy'

    def process(self, data_batch, data_samples):
        self.results += [float(sample['pred_instances']['scores'].double().sum()) for sample in data_samples]

    def compute_metrics(self, results):
        return dict(confidence=sum(results) / len(results), images=len(results))


def tiny(name: str, data: Path, work_dir: Path, **options) -> Config:
    """A shipped small config on the tiny data, the network 4 channels wide, pictures 64x64."""
    cfg = load_config(CONFIGS / f'{name}.py')
    kind = name.split('-')[0]
    cfg.model.backbone.update(TINY[kind])
    cfg.model.neck.update(in_channels=[4, 8, 16, 32], out_channels=8)
    cfg.model.rpn_head.update(in_channels=8, feat_channels=8)
    cfg.model.roi_head.bbox_roi_extractor.out_channels = 8
    cfg.model.roi_head.bbox_head.update(in_channels=8, fc_out_channels=8)
    cfg.model.test_cfg.rcnn.score_thr = 0.0
    for part, which in (('train', 'archtrain'), ('val', 'archval'), ('test', 'val')):
        loader = cfg[f'{part}_dataloader']
        loader.dataset.ann_file = f'{data}/annotations/instances_{which}.json'
        loader.dataset.data_prefix.img = f'{data}/leftImg8bit/{"val" if part == "test" else "train"}/'
        loader.dataset.pipeline[1 if part != 'train' else 2].scale = (64, 64)
    cfg.train_dataloader.batch_size = 4
    if 'Search' in cfg.train_cfg.type:
        cfg.val_evaluator = dict(type='TotalConfidence')
        cfg.train_cfg.update(metric='toy/confidence', targets=[])
    else:
        cfg.val_evaluator.ann_file = cfg.val_dataloader.dataset.ann_file
    cfg.test_evaluator.ann_file = cfg.test_dataloader.dataset.ann_file
    cfg.work_dir, cfg.log_level = str(work_dir), 'ERROR'
    cfg.merge_from_dict(options)
    return cfg


def checkpoint(cfg: Config, path: Path, seed: int = 0) -> Path:
    """A supernet that was not trained; nothing in it is zero or one."""
    torch.manual_seed(seed)
    model = build(cfg)
    model.init_weights()
    for name, value in model.state_dict().items():
        if value.dtype.is_floating_point and ('bn' in name or 'reg' in name or 'cls' in name):
            value.add_(torch.rand_like(value) * 0.3)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({'state_dict': model.state_dict(), 'meta': {}}, path)
    return path
