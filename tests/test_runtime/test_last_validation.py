"""A training killed between a checkpoint and the end of its validation loses neither evaluation nor best checkpoint."""

import json

import pytest
from mmengine.hooks import Hook
from tiny_project import project

from mmlight.registry import HOOKS
from mmlight.runtime.config import load_config
from mmlight.runtime.run import RunOptions
from mmlight.runtime.train import train


class KilledError(Exception):
    pass


@HOOKS.register_module()
class DieInValidation(Hook):
    """Stands for a kill: in one validation, before it starts or when all but the best is written."""

    def __init__(self, position, when):
        self.position, self.when = position, when

    def before_val_epoch(self, runner):
        if self.when == 'before' and runner.iter == self.position:
            raise KilledError

    def after_val_epoch(self, runner, metrics=None):
        if self.when == 'after' and runner.iter == self.position:
            raise KilledError


def config():
    cfg = load_config(project() / 'seg.py')
    cfg.train_cfg.update(max_iters=6, val_interval=3)
    cfg.default_hooks.checkpoint.update(interval=3, save_best='mIoU', max_keep_ckpts=-1)
    return cfg


def evaluations(work_dir):
    logs = (path.read_text().splitlines() for path in sorted(work_dir.glob('*/vis_data/scalars.json')))
    records = [json.loads(line) for lines in logs for line in lines]
    return {record['step']: record['mIoU'] for record in records if 'mIoU' in record}


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('whole')
    train(config(), RunOptions(folder), seed=3)
    return folder


@pytest.mark.parametrize(('position', 'when'), [(3, 'before'), (6, 'before'), (6, 'after')])
def test_it_validates_when_it_resumes(whole, tmp_path, position, when):
    killed, death = config(), dict(type='mmlight.DieInValidation', position=position, when=when)
    killed.custom_hooks = [*(killed.get('custom_hooks') or []), death]
    with pytest.raises(KilledError):
        train(killed, RunOptions(tmp_path), seed=3)
    assert position not in evaluations(tmp_path) or when == 'after'
    train(config(), RunOptions(tmp_path), seed=3, resume='auto')
    assert evaluations(tmp_path) == evaluations(whole)
    names = [{path.name for path in folder.glob('best_*')} for folder in (tmp_path, whole)]
    assert names[0] == names[1]
    assert len(names[0]) == 1


def test_a_finished_training_is_not_validated_again(whole):
    before = len(list(whole.glob('*/vis_data/scalars.json')))
    train(config(), RunOptions(whole), seed=3, resume='auto')
    logs = sorted(whole.glob('*/vis_data/scalars.json'))[before:]
    assert all('mIoU' not in path.read_text() for path in logs)
