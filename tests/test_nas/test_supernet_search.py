"""One command: a supernet of pyramids is trained, searched, and its front is ready to use."""

import random
from pathlib import Path

import pytest
import torch
from test_search import sample_options

from mmlight.cli import main
from mmlight.errors import InputError
from mmlight.nas import search, supernet
from mmlight.nas.driver import read_trials
from mmlight.nas.export import open_search
from mmlight.nas.front import front
from mmlight.nas.log import TrialLog
from mmlight.nas.samplers.pareto import ParetoLocalSearch, pareto_front
from mmlight.nas.spaces import BiFPNSpace
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build
from mmlight.runtime.run import RunOptions
from mmlight.runtime.test import evaluate

CONFIG = Path(__file__).parents[2] / 'configs' / 'nas' / 'super-bifpn_shufflenet-v2_sample.py'


def config(folder):
    """The shipped config with a few pictures and one epoch."""
    options = sample_options(folder) | {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1}
    objective = dict(type='SupernetAccuracy', shape=(128, 128), recalibration=1, options=options)
    path = folder / 'super.py'
    path.write_text(f'_base_ = {str(CONFIG)!r}\nsearch = dict(batch_size=2, objective={objective!r})\n')
    return path, options


def test_search_on_a_supernet(tmp_path, capsys):
    path, options = config(tmp_path)
    work_dir = tmp_path / 'run'
    command = ['search', str(path), '--work-dir', str(work_dir), '--backend', 'inline', '--trials', '4']
    assert main(command) == 0
    assert 'the front: ' in capsys.readouterr().out
    trials = read_trials(TrialLog(work_dir / 'trials.jsonl'))
    best = front(trials)[-1]
    page = (work_dir / 'report' / 'report.md').read_text()
    assert f'front/trial_{best.number}.py' in page
    assert (work_dir / 'report' / 'front.png').stat().st_size > 5000
    space = open_search(work_dir)[1]
    costs = [trial.metrics['macs'] for trial in trials[:2]]
    assert [space.decode(trial.choices).channels for trial in trials[:2]] == [16, 40]
    assert costs[0] < costs[1]

    found = work_dir / 'front' / f'trial_{best.number}'
    options |= {'test_evaluator.type': 'mmlight.ExactCocoMetric', 'model.test_cfg.score_thr': 0.0}
    metrics = evaluate(f'{found}.py', f'{found}.pth', RunOptions(tmp_path / 'test', options))
    assert metrics['coco/bbox_mAP'] == pytest.approx(best.metrics['coco/bbox_mAP'], abs=1e-4)
    network, image = build(load_config(f'{found}.py', options)).eval(), torch.rand(1, 3, 128, 128)
    network.load_state_dict(torch.load(f'{found}.pth')['state_dict'])
    with supernet._open(work_dir / 'supernet').running(best.choices, 1, 0) as shared, torch.no_grad():
        for ours, theirs in zip(shared.model(image, mode='tensor'), network(image, mode='tensor'), strict=True):
            torch.testing.assert_close(list(ours), list(theirs), atol=1e-5, rtol=1e-5)

    log = work_dir / 'supernet' / 'training.log'
    before = log.read_bytes(), (work_dir / 'trials.jsonl').read_bytes()
    assert main([*command, '--resume']) == 0
    assert (log.read_bytes(), (work_dir / 'trials.jsonl').read_bytes()) == before


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        ('custom_hooks = []', 'custom_hooks must have a mmlight.PathSamplingHook'),
        ('model = dict(neck=dict(neck=dict(in_channels=[48, 96])))', 'does not run with a network of BiFPNSpace'),
        ("model = dict(neck=dict(_delete_=True, type='FPN', in_channels=[48, 96, 192], out_channels=40, num_outs=5))",
         "defines no 'space'"),
    ],
)  # fmt: skip
def test_configs_that_train_no_supernet(tmp_path, more, message):
    path = tmp_path / 'super.py'
    path.write_text(f'_base_ = {str(CONFIG)!r}\n{more}\n')
    with pytest.raises(InputError, match=message):
        search.run(path, tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_pareto_front():
    points = [(0.5, 10), (0.4, 5), (0.4, 6), (0.6, 20), (0.6, 10), (0.1, 30)]
    beaten = [any(v >= p[0] and c <= p[1] and (v, c) != p for v, c in points) for p in points]
    assert pareto_front(points) == sorted((i for i, b in enumerate(beaten) if not b), key=lambda i: points[i][1])


def test_local_search_finds_a_planted_front():
    """Value: how many further edges; cost: channels and cells. The best at the least cost is known."""

    def values(choices):
        return sum(choice > 0 for choice in choices[:8]) / 8, float(choices[-1] + choices[-2])

    space, found = BiFPNSpace(), []
    sampler = ParetoLocalSearch(space)
    for generation in range(30):
        batch = sampler.ask(8, generation)
        sampler.tell(batch, [values(choices) for choices in batch])
        resumed = ParetoLocalSearch(space)
        resumed.load_state_dict(sampler.state_dict())
        assert resumed.ask(8, generation + 1) == sampler.ask(8, generation + 1)
        found += [values(choices) for choices in batch]
    rng = random.Random(0)
    drawn = [values(space.sample(rng)) for _ in found]
    assert (1.0, 0.0) in found
    assert (1.0, 0.0) not in drawn
    assert len({tuple(choices) for choices, _ in sampler.told}) == len(found)
