"""Wrong values in each setting of a config, on each command line, and in checkpoints: one line, exit code 2."""

import json
import resource
import sys
import time
from collections.abc import Iterator

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tiny_project import project

from mmlight.cli import main

pytestmark = pytest.mark.long

NO_NUMBER = ['text', '[]', '[1,2]', '{"a":1}']
NO_COUNT = [*NO_NUMBER, '-1', '1.5']
NO_TYPE = ['Nowhere', '1', '[]', '{"a":1}', '""']
SETTINGS = {
    'train_dataloader.batch_size': [*NO_COUNT, '0'],
    'train_dataloader.num_workers': NO_COUNT,
    'train_dataloader.sampler.type': NO_TYPE,
    'train_dataloader.dataset.type': NO_TYPE,
    'train_dataloader.dataset.ann_file': ['gone.json', '1', '{"a":1}'],
    'train_dataloader.dataset.data_root': ['gone/', '1', '{"a":1}'],
    'train_dataloader.dataset.data_prefix': ['text', '1', '[]'],
    'train_dataloader.dataset.metainfo': ['text', '1', '[1]'],
    'train_dataloader.dataset.metainfo.classes': ['text', '1', '{"a":1}'],
    'train_dataloader.dataset.pipeline': ['text', '1', '[1]'],
    'train_dataloader.dataset.pipeline.0.type': NO_TYPE,
    'train_dataloader.dataset.pipeline.4.scale': ['text', '{"a":1}', '[]'],
    'model.type': NO_TYPE,
    'model.backbone.type': NO_TYPE,
    'model.backbone.depth': [*NO_NUMBER, '7'],
    'model.backbone.base_channels': [*NO_COUNT, '0'],
    'model.backbone.out_indices': ['text', '[9]', '{"a":1}'],
    'model.neck.out_channels': [*NO_COUNT, '0'],
    'model.neck.num_outs': [*NO_NUMBER, '1.5'],
    'model.neck.in_channels': ['text', '[]', '[1,2]', '7'],
    'model.bbox_head.num_classes': [*NO_COUNT, '0', '80'],
    'model.bbox_head.feat_channels': [*NO_COUNT, '0'],
    'model.bbox_head.stacked_convs': NO_NUMBER,
    'model.bbox_head.type': NO_TYPE,
    'optim_wrapper.type': NO_TYPE,
    'optim_wrapper.optimizer.type': NO_TYPE,
    'optim_wrapper.optimizer.lr': [*NO_NUMBER, '-1'],
    'train_cfg.type': NO_TYPE,
    'train_cfg.max_epochs': [*NO_COUNT, '0'],
    'train_cfg.val_interval': [*NO_COUNT, '0'],
    'param_scheduler.0.type': NO_TYPE,
    'param_scheduler.0.end': NO_NUMBER,
    'param_scheduler.0.start_factor': [*NO_NUMBER, '-1'],
    'default_hooks.logger.interval': [*NO_COUNT, '0'],
    'default_hooks.checkpoint.interval': [*NO_NUMBER, '1.5', '-2', '0'],  # -1: never
    'default_hooks.visualization.interval': [*NO_NUMBER, '0'],
    'default_hooks.timer.type': NO_TYPE,
    'visualizer.type': NO_TYPE,
    'val_evaluator.type': NO_TYPE,
    'val_evaluator.ann_file': ['gone.json', '1', '{"a":1}'],
    'val_evaluator.metric': ['text', '1'],
    'env_cfg.dist_cfg.backend': [],
    'default_scope': ['nowhere', '1'],
    'custom_imports.imports': ['nowhere', '[1]', '{"a":1}'],
    'randomness.seed': ['text', '[]', '{"a":1}'],
}
META = ['text', 1, None, [], {'dataset_meta': 1}, {'dataset_meta': {'classes': 1}}, {'epoch': 'x'}, {'iter': None}]


def commands(tmp) -> Iterator[list[str]]:
    """Command lines that cannot work."""
    det, picture = str(project() / 'det.py'), str(next(project().rglob('val/sample/*.png')))
    train = ['train', det, '--work-dir', f'{tmp}/work']
    for key, values in SETTINGS.items():
        for value in values:
            yield [*train, '--cfg-options', f'{key}={value}']
    for number, content in enumerate(_checkpoints(det)):
        file = f'{tmp}/{number}.pth'
        torch.save(content, file)
        yield [*train, '--resume', file]
    long, predict = 'x' * 300, ['predict', det, picture, '--weights', f'{tmp}/good.pth']
    yield from (
        [*predict, '--out', f'{tmp}/{long}'],
        [*predict, '--out', '/proc/none'],
        [*predict, '--score-thr', 'nan'],
    )
    yield from ([*predict, '--format', 'xml'], [*predict, '--batch-size', '-3'], [*predict, '--batch-size', 'x'])
    yield from ([*train[:2], '--work-dir', f'{tmp}/{long}'], ['train', det, '--work-dir', '/proc/none'])
    for shape in (['0'], ['-1', '4'], ['x'], ['100000'], ['20000', '20000'], ['1', '2', '3'], ['1.5']):
        yield ['flops', det, '--shape', *shape]
        yield ['list', 'thundernet_snet49*', '--measure', '--shape', *shape]
    for option in (
        ['--epochs', 'x'],
        ['--epochs', '-1'],
        ['--seed', 'x'],
        ['--device', ''],
        ['--data', f'{tmp}/{long}'],
    ):
        yield [*train, *option]
    yield from (
        ['sample', '--out', f'{tmp}/{long}'],
        ['sample', '--out', '/proc/none/x'],
        ['weights', 'get', 'nothing'],
    )
    yield from (['test', det, f'{tmp}/good.pth', '--show-dir', f'/proc/{x}'] for x in ('none', long))


def _checkpoints(det: str) -> Iterator[dict]:
    cfg = Config.fromfile(det)
    init_default_scope('mmdet')
    good = {'state_dict': MODELS.build(cfg.model).state_dict(), 'meta': {'epoch': 1, 'iter': 3}, 'message_hub': {}}
    yield from ({**good, 'meta': meta} for meta in META)
    yield from ({**good, 'optimizer': wrong} for wrong in ('text', 1, [], {'state': 1}, {'param_groups': 'x'}))
    yield from ({**good, 'message_hub': wrong} for wrong in ('text', 1, [1]))
    yield from ({**good, 'state_dict': wrong} for wrong in ('text', 1, [1], {'a': 1}, {1: torch.zeros(1)}))


def test_bad_inputs(tmp_path, capsys, monkeypatch):
    """In one process, as most of the time is the imports'; the memory is the largest that the process had."""
    monkeypatch.chdir(tmp_path)
    given, wrong = list(commands(tmp_path)), []
    cfg = Config.fromfile(project() / 'det.py')
    torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, tmp_path / 'good.pth')
    assert len(given) >= 250
    for arguments in given:
        start = time.monotonic()
        capsys.readouterr()
        try:
            code = main(arguments)
            lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error:')]
            fault = None if code == 2 and len(lines) == 1 else f'exit code {code}, {len(lines)} lines'
        except BaseException as error:
            fault = f'{type(error).__name__}: {" ".join(str(error).split())[:150]}'
        if time.monotonic() - start > 60:
            fault = f'{time.monotonic() - start:.0f} s'
        if fault:
            wrong.append({'arguments': [argument[-90:] for argument in arguments[1:]], 'fault': fault})
    assert not wrong, f'{len(wrong)} of {len(given)}:\n' + '\n'.join(map(json.dumps, wrong))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)
    assert memory < 4e9
