"""Too little shared memory, a full disk and storage that hangs: one line, and the last good checkpoint stays."""

import errno
import os
import re
import subprocess
import sys
import time

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from tiny_project import environment, project
from torch.utils.data import DataLoader

from mmlight.errors import InputError
from mmlight.runtime.checkpoint import AtomicBackend
from mmlight.runtime.workers import TIMEOUT, explain_workers, watch_workers


class Unsendable:
    """What a tensor is to a worker's sending thread where /dev/shm is full."""

    def __reduce__(self):
        raise RuntimeError('unable to write to file </torch_1>: No space left on device (28)')


class Samples:
    def __init__(self, make):
        self.make = make

    def __len__(self):
        return 2

    def __getitem__(self, number):
        return self.make()


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (Unsendable, r'shared memory full \(/dev/shm holds \d+ MB\): lower num_workers .*--shm-size'),
        (lambda: time.sleep(30), 'gave no batch for 1 s: its storage hangs'),
        (lambda: os.kill(os.getpid(), 9), 'is killed by signal: Killed.*lower num_workers'),
    ],
)
def test_workers_that_give_nothing(make, message):
    loader = dict(num_workers=1, timeout=1 if 'gave' in message else 20)
    cfg = Config(dict(train_dataloader=loader, val_dataloader=dict(num_workers=2), test_dataloader=dict(num_workers=0)))
    watch_workers(cfg)
    assert cfg.train_dataloader == loader, 'the limit of the config is kept'
    assert cfg.val_dataloader.timeout == TIMEOUT
    assert 'timeout' not in cfg.test_dataloader
    with pytest.raises(RuntimeError) as raised:
        list(DataLoader(Samples(make), collate_fn=list, multiprocessing_context='fork', **loader))
    with pytest.raises(InputError, match=message):
        raise explain_workers(raised.value)


def test_a_full_disk_keeps_what_is_there(tmp_path, monkeypatch):
    backend, good = AtomicBackend(), tmp_path / 'epoch_1.pth'
    good.write_bytes(b'good')

    def full(descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    backend.remove(good)
    with pytest.raises(InputError, match=r'epoch_2.pth: no space left for its 2.0 MB; the last good one is'):
        backend.put(b'0' * 2_000_000, tmp_path / 'epoch_2.pth')
    assert os.listdir(tmp_path) == ['epoch_1.pth']
    AtomicBackend._outdated.clear()


def mounted(folder, options: str, command: list) -> subprocess.CompletedProcess:
    """Run a command beside a file system of its own at ``folder``; what lies there in the end is listed."""
    mount = f'mount -t tmpfs -o {options} tmpfs {folder}'
    tried = subprocess.run(['unshare', '-m', 'bash', '-c', mount], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f'needs a right to mount: {tried.stderr}')
    script = f'{mount}; "$@"; code=$?; ls -a {folder}; exit $code'
    line = ['unshare', '-m', 'bash', '-c', script, '-', sys.executable, '-m', 'mmlight.cli', *map(str, command)]
    return subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != 'linux', reason='unshare is of Linux')
def test_shared_memory_of_3_mb(tmp_path):
    """Needs root's right to mount, which not every CI gives."""
    size = 'train_dataloader.dataset.pipeline.4.scale=[(640,480),(800,640)]'
    ended = mounted(
        '/dev/shm', 'size=3m', ['train', project() / 'det.py', '--work-dir', tmp_path, '--cfg-options', size]
    )
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith('error: a data worker found shared memory full (/dev/shm holds 3 ')


@pytest.mark.long
@pytest.mark.skipif(sys.platform != 'linux', reason='unshare is of Linux')
def test_a_real_full_disk(tmp_path):
    """Needs root's right to mount, which not every CI gives; there is room for one checkpoint and half another."""
    ended = mounted(tmp_path, 'size=4200k', ['train', project() / 'det.py', '--work-dir', tmp_path])
    assert ended.returncode == 2
    message = rf'epoch_2.pth: no space left for its [\d.]+ MB; the last good one is {tmp_path}/epoch_1.pth'
    assert re.search(message, ended.stderr.splitlines()[-1])
    names = ended.stdout.splitlines()
    assert 'epoch_1.pth' in names
    assert not any(name.endswith('.part') or name == 'epoch_2.pth' for name in names)


READ_ONLY = {
    'train': ['train', 'DET', '--work-dir', 'FULL/run'],
    'test': ['test', 'DET', 'WEIGHTS', '--work-dir', 'FULL/run'],
    'test pictures': ['test', 'DET', 'WEIGHTS', '--work-dir', 'FREE', '--show-dir', 'FULL/pictures'],
    'predict': ['predict', 'DET', 'PICTURE', '--weights', 'WEIGHTS', '--out', 'FULL/found'],
    'export': ['export', 'DET', 'WEIGHTS', '--shape', '64', '64', '--out', 'FULL/a.onnx'],
    'browse': ['browse', 'DET', '--output-dir', 'FULL/pictures'],
    'compare': ['compare', 'DET', '--out', 'FULL/page', '--seconds', '0.1'],
    'sample': ['sample', '--out', 'FULL/sample'],
    'check': ['check', 'DATA', '--fix', 'FULL/copy'],
    'check pictures': ['check', 'DATA', '--out', 'FULL/sheet.png'],
    'search': ['search', 'nas-fpn_shufflenet-v2_sample', '--work-dir', 'FULL/search'],
    'convert': ['convert', 'backbone', 'MOBILE', 'FULL/other.pth'],
}


@pytest.mark.long
@pytest.mark.skipif(sys.platform != 'linux', reason='unshare is of Linux')
@pytest.mark.parametrize('name', READ_ONLY)
def test_a_folder_that_can_only_be_read(name, tmp_path, torchvision_models):
    """Needs root's right to mount, which not every CI gives: to root, a folder's own rights mean nothing."""
    for folder in ('full', 'free'):
        (tmp_path / folder).mkdir()
    cfg = Config.fromfile(project() / 'det.py')
    init_default_scope('mmdet')
    torch.save({'state_dict': MODELS.build(cfg.model).state_dict()}, tmp_path / 'weights.pth')
    torch.save(torchvision_models.mobilenet_v2().state_dict(), tmp_path / 'mobile.pth')
    meant = {
        'DET': project() / 'det.py',
        'DATA': project() / 'data',
        'PICTURE': next((project() / 'data').rglob('*_leftImg8bit.png')),
        'WEIGHTS': tmp_path / 'weights.pth',
        'FREE': tmp_path / 'free',
        'MOBILE': tmp_path / 'mobile.pth',
    }
    command = [meant.get(word, word.replace('FULL', str(tmp_path / 'full'))) for word in READ_ONLY[name]]
    ended = mounted(tmp_path / 'full', 'ro', command)
    assert ended.returncode == 2, ended.stderr[-2000:]
    lines = ended.stderr.splitlines()
    assert re.search(rf'^error: .*{tmp_path}/full.*[Rr]ead-only', lines[-1]), ended.stderr[-2000:]
    assert 'Traceback' not in ended.stderr
