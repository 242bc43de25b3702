"""Searches and trainings in processes of their own: two at once, and killed ones."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from cr_configs import checkpoint, tiny
from mmengine.config import Config

from mmlight.nas.log import TrialLog
from mmlight.runtime.train import train

HERE = Path(__file__).parent
ENVIRONMENT = {
    **os.environ,
    'OMP_NUM_THREADS': '1',
    'PYTHONPATH': os.pathsep.join([str(HERE.parents[1]), str(HERE), *sys.path[1:]]),
}
pytestmark = pytest.mark.long


def events(work_dir: Path) -> list[dict]:
    return TrialLog(work_dir / 'search.jsonl').of('done')


def written(cfg: Config, path: Path) -> Path:
    cfg.custom_imports.imports.append('cr_configs')
    path.parent.mkdir(parents=True, exist_ok=True)
    cfg.dump(path)
    return path


SCRIPT = """
import sys
import torch
import mmlight
from mmlight.runtime.run import RunOptions
from mmlight.runtime.train import train

stage, search, op = sys.argv[1:]
model = train(stage, RunOptions(launcher='pytorch')).model.module
weights = torch.cat([p.detach().flatten() for p in model.parameters()])
everyone = [torch.empty_like(weights) for _ in range(2)]
torch.distributed.all_gather(everyone, weights)
assert torch.equal(*everyone)
paths = [None, None]
torch.distributed.all_gather_object(paths, model.backbone.path)
assert paths[0] == paths[1]
for config in (search, op):
    train(config, RunOptions(launcher='pytorch'))
print('RESULT', torch.distributed.get_world_size(), paths[0])
"""


def test_two_processes_find_the_same(split, tmp_path):
    """And in training both take the same paths and keep the same weights."""
    searches = {}
    for name, options in (
        ('stage-search_r18-8blocks_sample', {'train_cfg.recalibration': 2, 'train_cfg.repeats': 1}),
        ('op-search_r18_sample', {'train_cfg.width': 2}),
    ):
        cfg = tiny(name, split, tmp_path / 'one' / name, **options)
        cfg.load_from = str(checkpoint(cfg, tmp_path / f'{name}.pth'))
        train(cfg)
        cfg.work_dir = str(tmp_path / 'two' / name)
        searches[name] = written(cfg, tmp_path / 'configs' / f'{name}.py')
    cfg = tiny('stage-supernet_r18_sample', split, tmp_path / 'two' / 'supernet')
    cfg.train_cfg.max_epochs, cfg.train_cfg.val_begin = 3, 4
    supernet = written(cfg, tmp_path / 'configs' / 'supernet.py')
    script = tmp_path / 'train.py'
    script.write_text(SCRIPT)
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_port=0', '--standalone']
    command += [str(script), str(supernet), *map(str, searches.values())]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert 'RESULT 2' in done.stdout
    for name in searches:
        one, two = (events(tmp_path / number / name) for number in ('one', 'two'))
        assert [event['path'] for event in one] == [event['path'] for event in two]
        assert [e['score'] for e in one] == pytest.approx([e['score'] for e in two], rel=1e-5)
        best = [json.loads((tmp_path / number / name / 'best.json').read_text()) for number in ('one', 'two')]
        assert best[0]['path'] == best[1]['path']


def command(config: Path) -> list[str]:
    return [sys.executable, '-m', 'mmlight.cli', 'train', str(config), '--resume', '--no-report']


def kill(config: Path, cwd: Path, ready) -> None:
    """Start, and end it the hard way once ``ready()``."""
    process = subprocess.Popen(command(config), env=ENVIRONMENT, cwd=cwd, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)  # fmt: skip
    while not ready() and process.poll() is None:
        time.sleep(0.02)
    assert process.poll() is None, 'it ended before it could be killed'
    process.send_signal(signal.SIGKILL)
    process.wait()


def lines(path: Path) -> int:
    return path.read_bytes().count(b'\n') if path.exists() else 0


STEPS = {
    'stage-supernet_r18_sample': {'train_cfg.max_epochs': 7, 'train_cfg.val_begin': 8},
    'stage-search_r18-8blocks_sample': {
        'train_cfg.recalibration': 4,
        'model.backbone.choices': ((1, 2, 3), (1, 2, 3), (2, 3), (2, 3, 4)),
    },
    'op-supernet_r18_sample': {'train_cfg.max_epochs': 7, 'train_cfg.val_begin': 8},
    'op-search_r18_sample': {'train_cfg.width': 2},
}


@pytest.mark.parametrize('name', STEPS)
def test_killed_and_started_again(split, tmp_path, name):
    cfg = tiny(name, split, tmp_path / 'whole', **STEPS[name])
    search = 'Search' in cfg.train_cfg.type
    if search:
        cfg.load_from = str(checkpoint(cfg, tmp_path / 'supernet.pth'))
    train(cfg)
    cut = tmp_path / 'cut'
    cfg.work_dir = str(cut)
    config = written(cfg, tmp_path / 'config.py')
    if search:
        kill(config, tmp_path, lambda: lines(cut / 'search.jsonl') > 4)
        before = events(cut)
        assert 3 < len(before) < len(events(tmp_path / 'whole'))
    else:
        kill(config, tmp_path, lambda: (cut / 'epoch_2.pth').exists())
    done = subprocess.run(command(config), env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    if search:
        whole, found = events(tmp_path / 'whole'), events(cut)
        assert found[: len(before)] == before
        assert [(e['path'], e['draw'], e['score']) for e in found] == [
            (e['path'], e['draw'], e['score']) for e in whole
        ]
        assert (cut / 'best.json').read_text() == (tmp_path / 'whole' / 'best.json').read_text()
    else:
        one, two = (torch.load(folder / 'epoch_7.pth', weights_only=False)['state_dict']
                    for folder in (cut, tmp_path / 'whole'))  # fmt: skip
        assert all(torch.equal(one[key], two[key]) for key in two)
