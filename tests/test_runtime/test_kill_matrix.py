"""Trainings and searches that are ended at chosen moments: nothing is lost, nothing runs on, the result is the same."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from tiny_project import environment, project

from mmlight.nas.driver import read_trials
from mmlight.nas.log import TrialLog
from mmlight.runtime.checkpoint import latest_checkpoint, load

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='finds processes in /proc'),
]

# imported by the configs, in trials of a search as well, where the process to end is the driver
KILLS = """
import os
from mmcv.transforms import BaseTransform
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, TRANSFORMS

os.environ.setdefault('TO_END', str(os.getpid()))
fsync, count = os.fsync, 0

def reached(moment):
    global count
    wanted, number, turn, done = os.environ.get('KILL', '- 0 0 -').split()
    if moment != wanted or os.path.exists(done):
        return
    count += 1
    if count == int(turn):
        open(done, 'w').close()
        os.kill(int(os.environ['TO_END']), int(number))

def slow_fsync(descriptor):
    reached('checkpoint')
    fsync(descriptor)

os.fsync = slow_fsync

@TRANSFORMS.register_module()
class Loads(BaseTransform):
    def transform(self, results):
        reached('loading')
        return results

@HOOKS.register_module()
class Reached(Hook):
    def before_run(self, runner):
        runner.model.register_forward_hook(lambda *_: reached('forward') if runner.model.training else None)

    def before_val_iter(self, runner, *args, **kwargs):
        reached('validation')
"""
TRAINING = """
_base_ = {base!r}
custom_imports = dict(imports=['mmlight', 'kills'])
custom_hooks = [dict(type='Reached')]
train_dataloader = dict(dataset=dict(pipeline=[dict(type='Loads'), *_base_.train_pipeline]))
"""
# so that the metric is no zero after a few steps
METRIC = "dict(type='mmlight.ExactCocoMetric', iou_thrs=[0.02])"
FINDS = 'test_cfg=dict(nms_pre=1000, score_thr=0.0, max_per_img=300)'
EPOCHS = f"""
model = dict({FINDS})
train_cfg = dict(max_epochs=3, val_interval=1)
val_evaluator = {METRIC}
test_evaluator = val_evaluator
"""
SUPERNET = f"""
custom_hooks = [dict(type='Reached'), dict(type='mmlight.PathSamplingHook')]
model = dict({FINDS}, backbone=dict(
    _delete_=True, type='mmlight.CRStageSuperResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(1, 2, 3),
    choices=((1, 2), (1, 2), (1, 2), (1, 2)), norm_cfg=dict(type='BN')))
"""
SEARCH = """
_base_ = {base!r}
custom_imports = dict(imports=['mmlight', 'kills'])
custom_hooks = [dict(type='Reached')]
train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(
    data_root={data!r}, indices=8, pipeline=[dict(type='Loads'), *_base_.train_pipeline]))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root={data!r}, indices=4))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file={data!r} + 'annotations/instances_val.json', **{metric})
test_evaluator = val_evaluator
model = dict({finds})
train_cfg = dict(max_epochs=1, val_interval=1)
search = dict(trials=2, batch_size=1, objective=dict(metric='coco/bbox_mAP'))
"""
# runs commands in processes of their own that need not import anything: three quarters of the time
SERVER = """
import json, os, signal, sys
import mmdet.apis, mmseg.apis, mmlight.data, mmlight.models, mmlight.nas.search, mmlight.runtime.train
from mmlight.cli import main

for line in sys.stdin:
    arguments, variables, output = json.loads(line)
    process = os.fork()
    if not process:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background command has it ignored
        written = os.open(output, os.O_WRONLY | os.O_CREAT)
        for stream in (1, 2):
            os.dup2(written, stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(variables)
        sys.path.insert(0, variables['KILLS'])
        sys.argv[1:] = arguments
        sys.exit(main())
    print(process, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
"""
TURNS = {'loading': (5, 14), 'forward': (2, 4), 'checkpoint': (2, 3), 'validation': (1, 3)}
"""Which sample, step, file and batch; the earlier and the later time."""


def config(kind: str, folder: Path) -> Path:
    (folder / 'kills.py').write_text(KILLS)
    if kind == 'search':
        shipped = Path(__file__).parents[2] / 'configs/nas/nas-fpn_shufflenet-v2_sample.py'
        text = SEARCH.format(base=str(shipped), data=f'{project()}/data/', metric=METRIC, finds=FINDS)
    else:
        text = TRAINING.format(base=str(project() / ('seg.py' if kind == 'segmentor' else 'det.py')))
        text += {'detector': EPOCHS, 'supernet': EPOCHS + SUPERNET, 'segmentor': ''}[kind]
    path = folder / f'{kind}.py'
    path.write_text(text)
    return path


def command(kind: str, file: Path, folder: Path) -> list:
    return ['search', file, '--work-dir', folder] if kind == 'search' else [
        'train', file, '--work-dir', folder, '--no-report'
    ]  # fmt: skip


def result(kind: str, folder: Path) -> tuple[dict, dict]:
    """Weights, and metrics by step; of a search the trials' networks and rewards."""
    if kind == 'search':
        log = TrialLog(folder / 'trials.jsonl')
        assert len(log.of('done')) == len({event['trial'] for event in log.of('done')}), 'a trial was evaluated twice'
        return {}, {trial.number: [trial.reward, *trial.choices] for trial in read_trials(log)}
    rows = [row for file in folder.glob('*/vis_data/scalars.json') for row in map(json.loads, file.open())]
    metrics = {row['step']: row for row in rows if 'coco/bbox_mAP' in row or 'mIoU' in row}
    names = ('coco/bbox_mAP', 'mIoU', 'mAcc')
    return load(latest_checkpoint(folder))['state_dict'], {
        step: [row.get(name) for name in names] for step, row in metrics.items()
    }


def left_over(session: int) -> list[str]:
    """Command lines of the processes of a session that still run."""
    found = []
    for stat in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = stat.read_text().rpartition(')')[2].split()
            if int(fields[3]) == session and fields[0] != 'Z':
                found.append((stat.parent / 'cmdline').read_text())
        except OSError:
            continue
    return found


@pytest.fixture(scope='module')
def run() -> Iterator[Callable]:
    """Runs ``mmlight`` in a session of its own; gives the process's number, exit code and output."""
    pipe = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
    with subprocess.Popen([sys.executable, '-c', SERVER], env=environment(), **pipe) as server:

        def get(arguments: list, file: Path, output: Path, kill: str = '- 0 0 -') -> tuple[int, int, str]:
            path = f'{file.parent}:{environment()["PYTHONPATH"]}'
            variables = {'KILL': kill, 'KILLS': str(file.parent), 'PYTHONPATH': path}
            print(json.dumps([[str(one) for one in arguments], variables, str(output)]), file=server.stdin, flush=True)
            number, code = (int(server.stdout.readline()) for _ in range(2))
            return number, code, output.read_text()

        yield get
        server.stdin.close()


@pytest.fixture(scope='module')
def whole(tmp_path_factory, run) -> Callable:
    """Gives a kind's config and the result of an uninterrupted run, which is made when it is first asked for."""
    made = {}

    def get(kind: str) -> tuple[Path, tuple[dict, dict]]:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            file = config(kind, folder)
            _, code, output = run(command(kind, file, folder / 'run'), file, folder / 'log')
            assert code == 0, output[-3000:]
            made[kind] = file, result(kind, folder / 'run')
            values = [value for row in made[kind][1][1].values() for value in row]
            assert any(type(value) is float and value > 0 for value in values), 'nothing to compare'  # choices are int
        return made[kind]

    return get


def rounds() -> list:
    """Each kind, moment and signal; detectors, segmentors and supernets are ended by SIGKILL at a later time, too."""
    kinds, numbers = ('detector', 'segmentor', 'supernet', 'search'), (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    cells = [(kind, moment, number, 0) for kind in kinds for moment in TURNS for number in numbers]
    return cells + [(kind, moment, signal.SIGKILL, 1) for kind in kinds[:3] for moment in TURNS]


@pytest.mark.parametrize(
    ('kind', 'moment', 'number', 'later'), rounds(), ids=lambda value: getattr(value, 'name', value)
)
def test_nothing_is_lost(kind, moment, number, later, whole, run, tmp_path):
    file, expected = whole(kind)
    kill = f'{moment} {int(number)} {TURNS[moment][later]} {tmp_path / "done"}'
    session, code, output = run(command(kind, file, tmp_path / 'run'), file, tmp_path / 'log', kill)
    assert (tmp_path / 'done').exists(), f'ended before: {output[-3000:]}'
    assert code == {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[number]
    if number != signal.SIGKILL:
        last = output.splitlines()[-1]
        assert re.match(r'(terminated|interrupted)\b.*--resume` goes on$', last), output[-3000:]
    end = time.monotonic() + 2
    while left_over(session) and time.monotonic() < end:
        time.sleep(0.05)
    assert left_over(session) == []
    _, code, output = run([*command(kind, file, tmp_path / 'run'), '--resume'], file, tmp_path / 'log_2')
    assert code == 0, output[-3000:]
    weights, metrics = result(kind, tmp_path / 'run')
    assert metrics == expected[1]
    assert weights.keys() == expected[0].keys()
    assert [name for name, value in weights.items() if not torch.equal(value, expected[0][name])] == []
    assert not list((tmp_path / 'run').rglob('.*.part'))
