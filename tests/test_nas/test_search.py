"""A search as a user runs it: config, search, report, export, training of what was found."""

import random
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from mmlight.datasets.sample import generate
from mmlight.engine.config import load_config
from mmlight.errors import InputError
from mmlight.graphs import FeatureGraph
from mmlight.nas import search
from mmlight.nas.export import export
from mmlight.nas.objectives import ProxyTraining
from mmlight.nas.report import write
from mmlight.nas.search import make_space

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs' / 'nas' / 'nas-fpn_shufflenet-v2_sample.py'


def config(path: Path, **changes) -> Path:
    sections = dict(
        space=dict(type='NASFPNSpace'),
        sampler=dict(type='RegularizedEvolution', population=6, tournament=3),
        objective=dict(type='MACs', target=60e6, shape=(128, 128)),
        trials=12,
        batch_size=6,
    )
    sections.update(changes)
    path.write_text(f'_base_ = {str(CONFIG)!r}\nsearch = dict(_delete_=True, **{sections!r})\n')
    return path


def test_analytic_search(tmp_path, capsys, monkeypatch):
    path = config(tmp_path / 'macs.py')
    trials = search.run(path, tmp_path / 'run')
    best = max(trials, key=lambda trial: trial.reward)
    assert best.reward > sorted(t.reward for t in trials)[len(trials) // 2]
    with pytest.raises(InputError, match='holds a search already; --resume goes on with it'):
        search.run(path, tmp_path / 'run')
    assert [t.choices for t in search.run(path, tmp_path / 'run', resume=True)] == [t.choices for t in trials]

    report = write(tmp_path / 'run', top=2, shape=(128, 128), latency=True).read_text()
    assert report.count('\n| ') == 3
    assert f'{best.metrics["parameters"]:,}' in report
    for picture in ('curves.png', 'graphs.png'):
        assert (tmp_path / 'run' / 'report' / picture).stat().st_size > 5000

    script = str(ROOT / 'tools' / 'export_arch.py')
    monkeypatch.setattr(sys, 'argv', [script, str(tmp_path / 'run'), '--stack', '2', '--width', '16'])
    runpy.run_path(script, run_name='__main__')
    assert f'trial {best.source}' in capsys.readouterr().out
    cfg = load_config(tmp_path / 'run' / 'best_0.py')
    space = make_space(load_config(path))
    assert FeatureGraph.from_dict(cfg.model.neck.graph) == space.decode(best.choices)
    assert (cfg.model.neck.stack_times, cfg.model.neck.out_channels, cfg.model.bbox_head.in_channels) == (2, 16, 16)
    assert 'search' not in cfg


@pytest.mark.long
def test_proxy_search(tmp_path):
    """Real trainings in processes of their own, on two workers; the network found is trained by tools/train.py."""
    data = generate(tmp_path / 'sample', num_train=8, num_val=4, size=(192, 144), progress=False)
    options = {f'{loader}_dataloader.dataset.data_root': f'{data}/' for loader in ('train', 'val', 'test')}
    options |= {f'{e}_evaluator.ann_file': f'{data}/annotations/instances_val.json' for e in ('val', 'test')}
    options['train_dataloader.batch_size'] = 4
    objective = dict(type='ProxyTraining', metric='coco/bbox_mAP_50', options=options)
    path = config(
        tmp_path / 'proxy.py', objective=objective, sampler=dict(type='RNNController'), trials=4, batch_size=4
    )
    trials = search.run(path, tmp_path / 'run', backend='local', workers=2)
    assert sum(trial.source == trial.number for trial in trials) >= 4
    assert all('coco/bbox_mAP' in trial.metrics for trial in trials if trial.source == trial.number)
    export(tmp_path / 'run', tmp_path / 'best.py')
    command = [sys.executable, 'tools/train.py', tmp_path / 'best.py', '--work-dir', tmp_path / 'best', '--epochs', '1']
    options = [f'{key}={value}' for key, value in options.items()]
    done = subprocess.run([*map(str, command), '--cfg-options', *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_wrong_metric_and_too_large(tmp_path):
    space = make_space(load_config(CONFIG))
    with pytest.raises(InputError, match='shape is needed'):
        ProxyTraining(space, str(CONFIG), max_macs=1e6)
    objective = ProxyTraining(space, str(CONFIG), max_macs=1e6, shape=(128, 128))
    found = objective(space.sample(random.Random(0)), tmp_path)
    assert (found['reward'], found['error']) == (0.0, 'too large')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(space=dict(type='Hyperspace')), r"search.space.type: must be one of NASFPNSpace, .*, got 'Hyperspace'"),
        (dict(sampler=dict(type='RNNController', speed=3)), r"config key search.sampler: .* unexpected .* 'speed'"),
        (dict(colour='red'), "`search` has the unknown key 'colour'"),
        (dict(space=dict(type='SpineNetSpace')), 'model.backbone must be a mmlight.SpineNet, got .*ShuffleNetV2'),
    ],
)
def test_bad_config(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        search.run(config(tmp_path / 'bad.py', **changes), tmp_path / 'run')
