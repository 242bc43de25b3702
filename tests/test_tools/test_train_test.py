"""The scripts as processes: two processes on the CPU, spawned workers, and mmdet's own train.py."""

import importlib.util
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_project import REPOSITORY, environment, project

from mmlight.data.sample import generate
from mmlight.runtime.checkpoint import latest_checkpoint, load
from mmlight.runtime.config import load_config

TOOLS = REPOSITORY / 'tools'
SHORT = ['--cfg-options', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2']


def run(*command: object, **extra: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        env={**environment(), 'PYTHON': sys.executable, **extra},
    )


def free_port() -> str:
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return str(found.getsockname()[1])


def log_of(work_dir: Path) -> str:
    """The log file of the one run there; the console is spared what it says of the environment."""
    (file,) = work_dir.glob('*/*.log')
    return file.read_text()


@pytest.mark.long
def test_two_processes_on_the_cpu_train_and_test(tmp_path):
    """SyncBN, in the model and by ``sync_bn``, and DistributedDataParallel included."""
    config = project() / 'seg.py'
    options = ['--work-dir', tmp_path, *SHORT, 'sync_bn=torch']
    done = run('bash', TOOLS / 'dist_train.sh', config, 2, *options, PORT=free_port())
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Distributed training: True' in log_of(tmp_path)
    checkpoint = latest_checkpoint(tmp_path)
    assert load(checkpoint)['meta']['iter'] == 2
    done = run('bash', TOOLS / 'dist_test.sh', config, checkpoint, 2, '--work-dir', tmp_path / 't', PORT=free_port())
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'mIoU' in done.stdout


@pytest.mark.long
def test_two_processes_train_spinenet(tmp_path):
    """Every parameter gets a gradient: DistributedDataParallel is not told to look for unused ones."""
    generate(tmp_path / 'sample', num_train=4, num_val=2, size=(192, 144), progress=False)
    options = ['--data', tmp_path / 'sample', '--epochs', 1, '--cfg-options', 'train_dataloader.batch_size=1',
               'model.backbone.filter_scale=0.2', 'model.backbone.norm_cfg.type=SyncBN']  # fmt: skip
    config = REPOSITORY / 'configs' / 'spinenet' / 'retinanet_spinenet-49s_sample.py'
    assert 'find_unused_parameters' not in load_config(config)
    command = ['bash', TOOLS / 'dist_train.sh', config, 2, '--work-dir', tmp_path / 'run', *options]
    done = run(*command, PORT=free_port())
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert 'Distributed training: True' in log_of(tmp_path / 'run')
    assert load(latest_checkpoint(tmp_path / 'run'))['meta']['iter'] == 2


@pytest.mark.long
def test_spawned_workers(tmp_path):
    options = [*SHORT, 'env_cfg.mp_cfg.mp_start_method=spawn', 'train_dataloader.num_workers=1']
    done = run(
        sys.executable, TOOLS / 'train.py', project() / 'det_iter.py', '--no-report', '--work-dir', tmp_path, *options
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize('script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh'])
def test_scripts_without_arguments_say_how_to_use_them(script):
    done = run('bash', TOOLS / script)
    assert done.returncode == 2
    assert done.stderr.startswith('error: usage:')


@pytest.mark.parametrize('script', ['train.py', 'test.py'])
def test_scripts_report_bad_input(script):
    done = run(sys.executable, TOOLS / script, 'gone.py', *(['gone.pth'] if script == 'test.py' else []))
    assert done.returncode == 2
    # old releases of mmengine warn on import
    assert done.stderr.splitlines()[-1].startswith('error: config gone.py')
    assert 'Traceback' not in done.stderr


def test_stock_config_and_stock_tool_with_our_backbone(tmp_path):
    """Only `custom_imports` and `backbone` are added to what mmdet ships (data and length are cut for the test)."""
    mmdet = Path(importlib.util.find_spec('mmdet').origin).parent / '.mim'
    config = tmp_path / 'stock.py'
    config.write_text(f"""
_base_ = {str(mmdet / 'configs/retinanet/retinanet_r50_fpn_1x_coco.py')!r}
custom_imports = dict(imports=['mmlight'])
model = dict(
    backbone=dict(_delete_=True, type='mmlight.ShuffleNetV2', widen_factor=0.5, out_indices=(0, 1, 2)),
    neck=dict(in_channels=[48, 96, 192], start_level=0))

data = dict(data_root='{project()}/data/', ann_file='annotations/instances_train.json',
            data_prefix=dict(img='leftImg8bit/train/'))
small = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
         dict(type='Resize', scale=(128, 96), keep_ratio=True), dict(type='PackDetInputs')]
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(**data, indices=4, pipeline=small))
val_dataloader, val_cfg, val_evaluator = None, None, None
train_cfg = dict(max_epochs=1)
""")
    done = run(sys.executable, mmdet / 'tools/train.py', config, '--work-dir', tmp_path / 'work')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'epoch_1.pth' in (tmp_path / 'work/last_checkpoint').read_text()
