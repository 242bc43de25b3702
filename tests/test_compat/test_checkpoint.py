"""Checkpoints load with ``weights_only=True``; what is not a checkpoint, or wants more, is refused in one line."""

import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from torch import nn
from torch.utils.data import Dataset

from mmlight.compat import checkpoint
from mmlight.errors import InputError


class Line(Dataset):
    metainfo = dict(classes=('a', 'b'))

    def __len__(self):
        return 8

    def __getitem__(self, i):
        return torch.tensor([i / 8]), torch.tensor([i / 4 + 1])


class Linear(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)

    def forward(self, x, y, mode='tensor'):
        return dict(loss=(self.layer(x) - y).square().mean())


def runner(work_dir, **kwargs):
    torch.manual_seed(0)
    return Runner(
        Linear(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=Line(),
            batch_size=4,
            sampler=dict(type='DefaultSampler', shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        optim_wrapper=dict(optimizer=dict(type='Adam', lr=0.1)),
        param_scheduler=dict(type='MultiStepLR', milestones=[2]),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        randomness=dict(seed=0),
        experiment_name=f'line-{len(kwargs)}',
        **kwargs,
    )


@pytest.fixture(scope='module')
def work_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp('run')
    runner(folder).train()
    return folder


def test_runner_resumes_what_it_saved(work_dir, tmp_path):
    path = work_dir / 'epoch_2.pth'
    saved = torch.load(path, weights_only=False)
    assert isinstance(saved['message_hub']['log_scalars']['train/loss'], HistoryBuffer)  # what plain torch refuses
    resumed = runner(tmp_path, load_from=str(path), resume=True)
    resumed.train()
    assert resumed.epoch == 3
    assert resumed.iter == 6
    whole = torch.load(work_dir / 'epoch_3.pth', weights_only=False)
    for name, value in whole['state_dict'].items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_load_checkpoint_reads_what_the_runner_saved(work_dir):
    path = str(work_dir / 'epoch_2.pth')
    model = Linear()
    load_checkpoint(model, path, strict=True)
    expected = torch.load(path, weights_only=False)
    assert torch.equal(model.layer.weight, expected['state_dict']['layer.weight'])
    loaded = checkpoint.load(path)
    history = loaded['message_hub']['log_scalars']['train/loss']
    expected_history = expected['message_hub']['log_scalars']['train/loss']
    np.testing.assert_array_equal(history.data[0], expected_history.data[0])
    assert history.mean() == expected_history.mean()


def test_bare_weights_come_back_bare(tmp_path):
    """As mmengine's own load_checkpoint gives them: names and tensors, without a key around them."""
    model = torch.nn.Linear(2, 1)
    torch.save(model.state_dict(), tmp_path / 'bare.pth')
    found = load_checkpoint(torch.nn.Linear(2, 1), str(tmp_path / 'bare.pth'))
    assert list(found) == ['weight', 'bias']
    assert torch.equal(found['weight'], model.weight)


@pytest.mark.parametrize('name', ['numpy.core.multiarray', 'numpy._core.multiarray'])
def test_numpy_values_of_both_generations(name, tmp_path):
    values = dict(array=np.arange(6.0, dtype=np.float32).reshape(2, 3), number=np.float64(2.5), flag=np.bool_(True))
    content = pickle.dumps(values, protocol=2)
    for generation in (b'numpy._core.multiarray', b'numpy.core.multiarray'):
        content = content.replace(b'c' + generation, b'c' + name.encode())
    path = tmp_path / 'values.pth'
    _write_torch_archive(path, content)
    loaded = checkpoint.load(path)
    np.testing.assert_array_equal(loaded['array'], values['array'])
    assert loaded['number'] == 2.5
    assert loaded['flag']


def _write_torch_archive(path, content):
    """A file of torch.save's format whose pickle is ``content``."""
    writer = torch._C.PyTorchFileWriter(str(path))
    writer.write_record('data.pkl', content, len(content))
    writer.write_end_of_file()


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Reaching:
    """Uses the allowed name ``getattr`` on something else than a history's statistics."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


def test_malicious_file_is_refused(tmp_path, monkeypatch):
    path, trace = tmp_path / 'model.pth', tmp_path / 'trace'
    torch.save(dict(state_dict={}, extra=Malicious(str(trace))), path)
    with pytest.raises(InputError, match=r'model\.pth.*(posix|nt)\.mkdir.*MMLIGHT_TRUST_CHECKPOINT=1') as caught:
        CheckpointLoader.load_checkpoint(str(path))
    assert '\n' not in str(caught.value)
    assert not trace.exists()
    monkeypatch.setenv('MMLIGHT_TRUST_CHECKPOINT', '1')
    CheckpointLoader.load_checkpoint(str(path))
    assert trace.exists()


def test_getattr_reaches_statistics_only(tmp_path):
    path = tmp_path / 'model.pth'
    torch.save(dict(extra=Reaching()), path)
    with pytest.raises(InputError, match='getattr'):
        checkpoint.load(path)


@pytest.mark.parametrize('kind', ['missing', 'empty', 'text', 'truncated', 'folder'])
def test_what_is_no_checkpoint_gets_one_line_with_its_path(kind, tmp_path):
    path = tmp_path / 'model.pth'
    if kind == 'folder':
        path.mkdir()
    elif kind != 'missing':
        torch.save(dict(state_dict=dict(weight=torch.zeros(1000))), path)
        content = {'empty': b'', 'text': b'model = dict()\n', 'truncated': path.read_bytes()[:2000]}[kind]
        path.write_bytes(content)
    with pytest.raises(InputError, match=r'model\.pth') as caught:
        load_checkpoint(Linear(), str(path))
    assert isinstance(caught.value, FileNotFoundError) == (kind in ('missing', 'folder'))
    assert '\n' not in str(caught.value)


def test_download_is_loaded_safely(work_dir, tmp_path, monkeypatch):
    import functools
    import http.server
    import threading

    torch.save(dict(extra=Malicious(str(tmp_path / 'trace'))), work_dir / 'bad.pth')
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'home'))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(work_dir))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}'
        loaded = CheckpointLoader.load_checkpoint(f'{address}/epoch_2.pth', map_location='cpu')
        assert 'layer.weight' in loaded['state_dict']
        with pytest.raises(InputError, match='refused'):
            CheckpointLoader.load_checkpoint(f'{address}/bad.pth', map_location='cpu')
        with pytest.raises(InputError, match=r'absent\.pth answers 404 File not found; give a local file'):
            CheckpointLoader.load_checkpoint(f'{address}/absent.pth', map_location='cpu')
        server.shutdown()
    assert not (tmp_path / 'trace').exists()
