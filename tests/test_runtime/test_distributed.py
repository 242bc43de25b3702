"""Two processes on the CPU (gloo) train as one with the same global batch, and end together."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_project import REPOSITORY, environment, mmlight, project

from mmlight.runtime.checkpoint import latest_checkpoint, load

pytestmark = pytest.mark.long

WITHOUT_CHANCE = """
_base_ = {base!r}
train_cfg = dict(max_iters=4, val_interval=100)
val_cfg, val_dataloader, val_evaluator = None, None, None
optim_wrapper = dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
default_hooks = dict(checkpoint=dict(interval=4))
train_dataloader = dict(
    num_workers=0, persistent_workers=False, batch_size=4 // {processes}, batch_sampler=None,
    dataset=dict(pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', {labels}),
                           dict(type='Resize', scale=(64, 64), keep_ratio=False), dict(type='{pack}')]))
group_norm = dict(_delete_=True, type='GN', num_groups=4)  # that of a batch is of each process's part
"""
DETECTOR = """
model = dict(backbone=dict(norm_cfg=group_norm), bbox_head=dict(norm_cfg=group_norm))
"""
SUPERNET = (
    DETECTOR
    + """
custom_hooks = [dict(type='mmlight.PathSamplingHook')]  # another path each step
find_unused_parameters = True
model['backbone'] = dict(
    _delete_=True, type='mmlight.CRStageSuperResNet', depth=18, base_channels=8, stem_channels=8, out_indices=(1, 2, 3),
    choices=((1, 2), (1, 2), (1, 2), (1, 2)), norm_cfg=dict(type='GN', num_groups=4))
"""
)
SEGMENTOR = """
train_dataloader['dataset']['reduce_zero_label'] = True  # leaves out pixels
loss = dict(type='CrossEntropyLoss', avg_non_ignore={all_labels})
head = dict(norm_cfg=group_norm, loss_decode=loss, dropout_ratio=0)
model = dict(backbone=dict(norm_cfg=group_norm), decode_head=head)
"""


def launch(config: Path, folder: Path, **variables: str) -> subprocess.CompletedProcess:
    command = ['bash', REPOSITORY / 'tools/dist_train.sh', config, '2', '--work-dir', folder, '--no-report']
    variables = {**environment(), 'PYTHON': sys.executable, 'OMP_NUM_THREADS': '1', **variables}
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize(
    ('base', 'labels', 'pack', 'rest'),
    [
        pytest.param('det_iter.py', 'with_bbox=True', 'PackDetInputs', DETECTOR, id='detector'),
        pytest.param('det_iter.py', 'with_bbox=True', 'PackDetInputs', SUPERNET, id='supernet'),
        pytest.param('seg.py', 'reduce_zero_label=True', 'PackSegInputs', SEGMENTOR.format(all_labels=False), id='all'),
        pytest.param(
            'seg.py', 'reduce_zero_label=True', 'PackSegInputs', SEGMENTOR.format(all_labels=True), id='known'
        ),
    ],
)
def test_two_processes_equal_one(base, labels, pack, rest, tmp_path):
    """To rounding; a segmentor's loss over labelled pixels as well, of which each process has another number."""
    states = []
    for processes in (1, 2):
        config, folder = tmp_path / f'{processes}.py', tmp_path / str(processes)
        text = WITHOUT_CHANCE.format(base=str(project() / base), processes=processes, labels=labels, pack=pack)
        config.write_text(text + rest)
        if processes == 1:
            process = mmlight('train', config, '--work-dir', folder, '--no-report')
            output, _ = process.communicate()
            assert process.returncode == 0, output[-3000:]
        else:
            done = launch(config, folder)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        states.append(load(latest_checkpoint(folder))['state_dict'])
    one, two = states
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(
            two[name], value, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f'{name}: {text}'
        )


def test_a_process_that_ends_takes_the_other_down(tmp_path):
    """In seconds, and its own error is the one that is shown."""
    (tmp_path / 'dies.py').write_text("""
import os
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmlight.errors import InputError

@HOOKS.register_module()
class Dies(Hook):
    def after_train_iter(self, runner, *args, **kwargs):
        if os.environ['RANK'] == '1' and runner.iter == 2:
            open(os.environ['DIED'], 'w').close()
            raise InputError('the second process has enough')
""")
    (tmp_path / 'config.py').write_text(f"""
_base_ = {str(project() / 'det_iter.py')!r}
custom_imports = dict(imports=['mmlight', 'dies'])
custom_hooks = [dict(type='Dies')]
""")
    path = os.pathsep.join([environment()['PYTHONPATH'], str(tmp_path)])
    done = launch(tmp_path / 'config.py', tmp_path / 'run', DIED=str(tmp_path / 'died'), PYTHONPATH=path)
    assert time.time() - (tmp_path / 'died').stat().st_mtime < 30
    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if line.startswith('error:')] == [
        'error: the second process has enough'
    ]


def test_a_port_in_use_is_named(tmp_path):
    import socket

    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = launch(project() / 'det_iter.py', tmp_path, PORT=port)
    assert (done.returncode, done.stderr) == (2, f'error: PORT {port}: in use on this machine; set another\n')
