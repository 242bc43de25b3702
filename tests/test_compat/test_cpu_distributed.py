"""Two processes on the CPU, started as users start them: torchrun and ``--launcher pytorch``."""

import os
import subprocess
import sys

import pytest
import torch

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='about machines without an accelerator')

SCRIPT = """
import sys
import mmlight
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset


class Line(Dataset):
    metainfo = {}

    def __len__(self):
        return 8

    def __getitem__(self, i):
        return torch.tensor([i / 8]), torch.tensor([i / 4 + 1])


class Linear(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def forward(self, x, y, mode='tensor'):
        if mode == 'predict':
            return [dict(x=value) for value in x]
        return dict(loss=(self.layer(x) - y).square().mean())


class Seen(BaseMetric):
    def process(self, batch, outputs):
        self.results += [output['x'].item() for output in outputs]

    def compute_metrics(self, results):
        return dict(count=len(set(results)))


torch.manual_seed(0)
loader = dict(
    dataset=Line(), batch_size=2,
    sampler=dict(type='DefaultSampler', shuffle=False), collate_fn=dict(type='default_collate'),
)
runner = Runner(
    Linear(), work_dir=sys.argv[1], launcher='pytorch', train_dataloader=loader, val_dataloader=loader,
    val_cfg=dict(), val_evaluator=[Seen()], train_cfg=dict(by_epoch=True, max_epochs=2),
    optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05)), randomness=dict(seed=0),
    default_hooks=dict(sync_buffers=dict(type='SyncBuffersHook'), checkpoint=dict(type='CheckpointHook', interval=1)),
    env_cfg=dict(dist_cfg=dict(backend='nccl')),
)
runner.train()
assert runner.world_size == 2 and type(runner.model).__name__ == 'MMDistributedDataParallel'
weights = torch.cat([p.detach().flatten() for p in runner.model.parameters()])
everyone = [torch.empty_like(weights) for _ in range(2)]
torch.distributed.all_gather(everyone, weights)
assert torch.equal(*everyone)
if runner.rank == 0:
    print('RESULT', torch.distributed.get_backend(), runner.iter, runner.message_hub.get_scalar('val/count').current())
"""


def launch(script, *arguments):
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join(sys.path[1:])}
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--master_port=0', '--standalone']
    process = subprocess.run([*command, str(script), *arguments], capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stdout[-3000:] + process.stderr[-3000:]
    return process.stdout + process.stderr


def test_two_processes_train_and_validate(tmp_path):
    script = tmp_path / 'train.py'
    script.write_text(SCRIPT)
    output = launch(script, str(tmp_path / 'run'))
    assert 'RESULT gloo 4 8' in output
    assert 'uses gloo' in output
    assert (tmp_path / 'run' / 'epoch_2.pth').is_file()


def test_slurm_without_a_gpu(tmp_path, monkeypatch):
    code = """
import mmlight, torch
from mmengine.dist import init_dist
init_dist('slurm', backend='nccl', port=0)
print('RESULT', torch.distributed.get_backend(), torch.distributed.get_world_size())
"""
    variables = dict(SLURM_PROCID='0', SLURM_NTASKS='1', SLURM_NODELIST='localhost', MASTER_ADDR='127.0.0.1')
    environment = {**os.environ, **variables, 'PYTHONPATH': os.pathsep.join(sys.path[1:])}
    process = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=environment)
    assert 'RESULT gloo 1' in process.stdout, process.stderr
