"""Weights of the other SpineNets compute here what they compute there."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmlight.errors import InputError
from mmlight.models.backbones import SpineNet
from mmlight.weights.spinenet import convert, options

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / 'tests' / 'test_models' / 'test_backbones'))

from reference_spinenet import Reference, randomised, tensorflow_variables  # noqa: E402


@pytest.fixture
def run(monkeypatch, capsys):
    """The script in this process: starting another one costs seconds for its imports."""

    def call(*arguments):
        script = str(ROOT / 'tools' / 'model_converters' / 'spinenet_to_mmlight.py')
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(script, run_name='__main__')
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return SimpleNamespace(returncode=code or 0, stdout=out, stderr=err)

    return call


@pytest.fixture(scope='module')
def reference():
    torch.manual_seed(0)
    return randomised(Reference())


def check_equal(reference, network):
    image = torch.randn(1, 3, 128, 256)
    with torch.no_grad():
        for own, other in zip(network.eval()(image), reference(image), strict=True):
            torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def test_port(reference, tmp_path, run):
    state = {f'backbone.{name}': value for name, value in reference.state_dict().items()}
    torch.save({'state_dict': {**state, 'bbox_head.retina_cls.weight': torch.ones(1)}}, tmp_path / 'port.pth')
    done = run(tmp_path / 'port.pth', tmp_path / 'own.pth')
    assert done.returncode == 0, done.stderr
    assert 'SpineNet-49S from the layout of pytorch' in done.stdout
    weights = torch.load(tmp_path / 'own.pth', weights_only=True)['state_dict']
    assert weights.pop('bbox_head.retina_cls.weight') == 1
    network = SpineNet('49S', **options('pytorch'))
    network.load_state_dict({name.removeprefix('backbone.'): value for name, value in weights.items()}, strict=False)
    check_equal(reference, network)


def test_tensorflow(reference, tmp_path, run):
    """Names and shapes; ``tests/parity/test_tensorflow.py`` compares the values with the authors' code."""
    arrays = {name: value.numpy() for name, value in tensorflow_variables(reference).items()}
    arrays |= {'global_step': np.int64(3), 'spinenet/conv2d/kernel/Momentum': np.zeros(2, np.float32)}
    np.savez(tmp_path / 'variables.npz', **arrays)
    done = run(tmp_path / 'variables.npz', tmp_path / 'own.pth')
    assert done.returncode == 0, done.stderr
    assert 'SpineNet-49S from the layout of tensorflow' in done.stdout
    for argument in ("pool_rule='single'", "padding='same-pool'", "'type': 'SiLU'", "'eps': 0.0001"):
        assert argument in done.stdout
    weights = torch.load(tmp_path / 'own.pth', weights_only=True)['state_dict']
    missing, unexpected = SpineNet('49S', **options('tensorflow')).load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.endswith('num_batches_tracked') for name in missing)
    with pytest.raises(InputError, match=r"are of padding='same-pool', the network is of padding='symmetric'"):
        SpineNet('49S', norm_cfg=dict(type='BN', eps=1e-4), pool_rule='single').load_state_dict(weights)
    with pytest.raises(InputError, match=r'eps=0\.0001.*the network is of norm_cfg=.*eps=0\.001'):
        SpineNet('49S', padding='same-pool', pool_rule='single').load_state_dict(weights)


def test_released_49s_is_told_from_todays():
    with torch.device('meta'):
        wide = Reference(endpoint=256)
    assert convert(wide.state_dict())[1:] == ('49S-ep256', 'pytorch')


def test_bad_input(reference, tmp_path, run):
    with pytest.raises(InputError, match=r'neither variables of tensorflow/tpu nor .* it has layer1'):
        convert({'layer1': torch.zeros(1)})
    state = reference.state_dict()
    with pytest.raises(
        InputError, match=r'49: init_block1\.0\.downsample\.0\.weight is \(164, 64, 1, 1\), needed \(256'
    ):
        convert(state, '49')
    with pytest.raises(InputError, match=r'49S: conv2\.weight is left over'):
        convert({**state, 'conv2.weight': torch.zeros(1)})
    (tmp_path / 'broken.npz').write_bytes(b'no archive')
    done = run(tmp_path / 'broken.npz', tmp_path / 'own.pth')
    assert done.returncode == 2
    assert done.stderr.startswith('error: SRC')
    assert len(done.stderr.splitlines()) == 1
