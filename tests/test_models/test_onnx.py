"""Necks and detectors that resample by the sizes of their maps, exported by tracing and run by onnxruntime."""

import onnxruntime
import pytest
import torch
from mmengine.registry import init_default_scope

from mmlight.layers import Conv2dSame, MaxPool2dSame
from mmlight.models.necks import NASFPN, BiFPN
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build


def exported(network, example, file, **options):
    """A function that runs what the exporter by tracing made of a network."""
    torch.onnx.export(network, (example,), file, dynamo=False, **options)
    session = onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])
    names = [entry.name for entry in session.get_inputs()]
    return lambda tensors: session.run(None, dict(zip(names, [x.numpy() for x in tensors], strict=True)))


def assert_runs_as(found, expected):
    for own, other in zip(found, expected, strict=True):
        assert other.std() > 1e-3
        torch.testing.assert_close(torch.from_numpy(own), other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def random_maps(height, width):
    return [torch.randn(1, c, -(-height // 2**i), -(-width // 2**i)) for i, c in enumerate((8, 12, 16))]


NECKS = pytest.mark.parametrize(
    'neck', [lambda: BiFPN((8, 12, 16), 24, num_cells=2), lambda: NASFPN((8, 12, 16), 8, 2)], ids=['bifpn', 'nas_fpn']
)


@NECKS
@torch.no_grad()
def test_a_traced_neck_takes_any_size(neck):
    neck, maps = neck().eval(), random_maps(17, 26)
    traced = torch.jit.trace(neck, (random_maps(32, 32),))
    assert all(map(torch.equal, traced(maps), neck(maps)))


@NECKS
@pytest.mark.parametrize('size', [(32, 32), (17, 26)])
@torch.no_grad()
def test_onnx_of_a_neck(neck, size, tmp_path):
    neck, maps = neck().eval(), random_maps(*size)
    assert_runs_as(exported(neck, maps, tmp_path / 'neck.onnx')(maps), neck(maps))


@NECKS
@torch.no_grad()
def test_onnx_at_another_multiple_of_the_stride(neck, tmp_path):
    neck, names = neck().eval(), ['p3', 'p4', 'p5']
    options = dict(input_names=names, dynamic_axes={name: [2, 3] for name in names})
    run, maps = exported(neck, random_maps(32, 32), tmp_path / 'neck.onnx', **options), random_maps(48, 64)
    assert_runs_as(run(maps), neck(maps))


@pytest.mark.parametrize('size', [(128, 128), (135, 201)])
@torch.no_grad()
def test_onnx_of_a_detector(size, tmp_path):
    init_default_scope('mmdet')
    network, image = build(load_config('efficientdet_d0_8xb16-crop512-300e_coco')).eval(), torch.randn(1, 3, *size)
    scores, deltas = network(image)
    assert_runs_as(exported(network, image, tmp_path / 'd0.onnx')([image]), [*scores, *deltas])


@pytest.mark.parametrize('size', [(64, 96), (65, 97)])
@torch.no_grad()
def test_onnx_keeps_tensorflow_s_padding(size, tmp_path):
    """Strided convolutions and pools that pad behind only at even sizes."""
    network = torch.nn.Sequential(Conv2dSame(3, 8, 3, 2), MaxPool2dSame(3, 2), Conv2dSame(8, 8, 5, 2)).eval()
    image = torch.randn(1, 3, *size)
    assert_runs_as(exported(network, image, tmp_path / 'same.onnx')([image]), [network(image)])
