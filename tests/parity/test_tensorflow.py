"""Networks with TensorFlow's weights against TensorFlow: the authors' own code and Keras (``make_tf_arrays.py``)."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

HERE = Path(__file__).parent
sys.path.append(str(HERE))

from drawn import draw, image, sample  # noqa: E402

from mmlight.errors import InputError  # noqa: E402
from mmlight.layers.foreign_weights import convert as convert_backbone  # noqa: E402
from mmlight.models.backbones import MobileNetV2, SpineNet  # noqa: E402
from mmlight.registry import MODELS  # noqa: E402
from mmlight.weights import tensorflow  # noqa: E402
from mmlight.weights.spinenet import convert, options  # noqa: E402
from mmlight.weights.spinenet import record as record_of  # noqa: E402
from mmlight.weights.tensorflow import as_state_dict  # noqa: E402

ARRAYS = np.load(HERE / 'tf_arrays.npz')
SPINENET = options('tensorflow')
BN = dict(type='BN', eps=1e-4)


def variables(network: str) -> dict[str, torch.Tensor]:
    shapes = json.loads(str(ARRAYS[f'{network}/variables']))
    values = draw(shapes)
    return {name: torch.from_numpy(values[name]) for name in shapes}  # in the order in which they were made


def sizes(network: str) -> list[str]:
    found = [name.split('/')[1] for name in ARRAYS.files if name.startswith(f'{network}/')]
    return [size for size in dict.fromkeys(found) if size != 'variables']


def largest_error(network: str, size: str, forward) -> float:
    """Of the stored values, relative to the largest of their map."""
    pixels = torch.from_numpy(image(*map(int, size.split('x')))).permute(0, 3, 1, 2)
    with torch.no_grad():
        maps = forward(pixels)
    stored = [name for name in ARRAYS.files if name.startswith(f'{network}/{size}/')]
    assert len(stored) == len(maps)
    errors = []
    for name, x in zip(stored, maps, strict=True):
        theirs, ours = ARRAYS[name], sample(x.permute(0, 2, 3, 1).numpy())
        errors.append(np.abs(theirs - ours).max() / np.abs(theirs).max())
    return float(max(errors))


@pytest.fixture(scope='module')
def spinenet() -> SpineNet:
    weights, arch, layout = convert(variables('spinenet-49S'))
    assert (arch, layout) == ('49S', 'tensorflow')
    network = SpineNet('49S', **SPINENET).eval()
    missing, unexpected = network.load_state_dict(weights | {'arithmetic': record_of(SPINENET)}, strict=False)
    assert not unexpected
    assert all(name.endswith('num_batches_tracked') for name in missing)
    return network


@pytest.mark.parametrize('size', sizes('spinenet-49S'))
def test_spinenet(spinenet, size, record):
    """Even, odd and rectangular sizes of tensorflow/tpu's own code."""
    error = largest_error('spinenet-49S', size, spinenet)
    record('SpineNet-49S', 'tensorflow/tpu', error)
    assert error < 1e-4


@pytest.fixture(scope='module')
def mobilenet() -> MobileNetV2:
    weights, layout, _ = convert_backbone(as_state_dict(variables('keras-mobilenet-v2')))
    assert layout.name == 'keras'
    network = MobileNetV2(out_indices=(1, 2, 4, 6, 7), padding='same', norm_cfg=dict(type='BN', eps=1e-3)).eval()
    network.load_state_dict(weights, strict=False)
    return network


@pytest.mark.parametrize('size', sizes('keras-mobilenet-v2'))
def test_mobilenet_v2(mobilenet, size, record):
    error = largest_error('keras-mobilenet-v2', size, mobilenet)
    record('MobileNetV2, padding same', 'tf.keras.applications', error)
    assert error < 1e-4


def test_symmetric_padding_is_another_function(mobilenet):
    """The test above can fail: at even sizes PyTorch's padding is up to a quarter off."""
    other = MobileNetV2(out_indices=(1, 2, 4, 6, 7), norm_cfg=dict(type='BN', eps=1e-3)).eval()
    state = mobilenet.state_dict()
    with pytest.raises(InputError, match=r"weights are of padding='same', the network is of padding='symmetric'"):
        other.load_state_dict(state)
    del state['arithmetic']
    other.load_state_dict(state)
    assert largest_error('keras-mobilenet-v2', '96x96', other) > 0.05


def converted(network: str, name: str) -> nn.Sequential:
    """Backbone and neck with the weights and by the configs that the converter gives."""
    values = variables(network)
    weights, parts = tensorflow.convert(dict(reversed(values.items())), name)  # a checkpoint has no order
    model = nn.ModuleDict({part: MODELS.build(entries) for part, entries in parts.items()}).eval()
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(key.endswith('num_batches_tracked') for key in missing)
    return nn.Sequential(*model.values())


@pytest.mark.parametrize('size', sizes('spinenet-mbconv-49'))
def test_mobile_spinenet(size, record):
    network = converted('spinenet-mbconv-49', 'mobile-spinenet')
    error = largest_error('spinenet-mbconv-49', size, network)
    record('mobile SpineNet-49', 'tensorflow/tpu', error)
    assert error < 1e-4


@pytest.mark.parametrize('size', sizes('r50-nasfpn'))
def test_resnet_and_nas_fpn(size, record):
    network = converted('r50-nasfpn', 'resnet-nas-fpn')
    error = largest_error('r50-nasfpn', size, network)
    record('TFResNet-50 with NASFPN', 'tensorflow/tpu', error)
    assert error < 1e-4


@pytest.mark.parametrize(
    ('network', 'name', 'gone', 'message'),
    [
        ('r50-nasfpn', 'resnet-nas-fpn', 'resnet50/conv2d_5/kernel', 'resnet50/conv2d_5: weight is missing'),
        ('r50-nasfpn', 'mobile-spinenet', '', 'not variables of a mobile SpineNet'),
        ('spinenet-mbconv-49', 'resnet-nas-fpn', '', 'not variables of a ResNet with NAS-FPN'),
        ('r50-nasfpn', 'yolo', '', "network must be one of .*'mobile-spinenet'.*, got 'yolo'"),
    ],
)
def test_other_variables_are_refused(network, name, gone, message):
    values = variables(network)
    values.pop(gone, None)
    with pytest.raises(InputError, match=message):
        tensorflow.convert(values, name)


def test_the_tool_prints_the_config_that_takes_the_weights(tmp_path, monkeypatch, capsys):
    values = variables('spinenet-mbconv-49')
    np.savez(tmp_path / 'v.npz', **{name: x.numpy() for name, x in values.items()}, global_step=np.int64(3))
    script = str(HERE.parents[1] / 'tools' / 'model_converters' / 'tensorflow_to_mmlight.py')
    monkeypatch.setattr(
        sys, 'argv', [script, str(tmp_path / 'v.npz'), str(tmp_path / 'w.pth'), '--network', 'mobile-spinenet']
    )
    with pytest.raises(SystemExit, match=r'^0$'):
        runpy.run_path(script, run_name='__main__')
    (line,) = (line for line in capsys.readouterr().out.splitlines() if 'model.backbone=' in line)
    backbone = MODELS.build(eval(line.partition('=')[2]))
    weights = torch.load(tmp_path / 'w.pth', weights_only=True)['state_dict']
    own = {name.removeprefix('backbone.'): x for name, x in weights.items()}
    assert not backbone.load_state_dict(own, strict=False).unexpected_keys
