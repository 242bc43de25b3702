"""Xception* (Light-Head R-CNN, arXiv 1711.07264, Table 7): published sizes and shapes.

Figures: docs/specs/backbones.md.
"""

import pytest
import reference_shufflenets as reference
import torch
from counting import multiply_adds, parameters, shapes
from torch import nn

from mmlight.errors import InputError
from mmlight.models.backbones import ShuffleNetV1, XceptionStar


def test_parameters_of_setting_s():
    assert parameters(XceptionStar(num_classes=1000)) == 1_648_888
    net = XceptionStar()
    assert parameters(net) == 1_071_888
    assert [parameters(part) for part in net.stages()] == [696, 44_976, 380_376, 645_840]
    assert [parameters(unit) for layer in net.layers for unit in layer[:2]] == [
        1_560, 14_472, 14_472, 52_272, 52_272, 197_856,
    ]  # fmt: skip


def test_multiply_adds_of_setting_s():
    assert multiply_adds(lambda: XceptionStar()) == 144_161_136
    assert multiply_adds(lambda: XceptionStar(num_classes=1000)) == 144_737_136 == pytest.approx(145e6, abs=0.5e6)


def test_shuffle_blocks():
    assert parameters(XceptionStar('shuffle')) == 954_936
    assert multiply_adds(lambda: XceptionStar('shuffle')) == 142_502_976
    assert multiply_adds(lambda: XceptionStar('shuffle', num_classes=1000)) == pytest.approx(143.08e6, abs=0.005e6)


@pytest.mark.parametrize(
    ('width', 'macs', 'shuffle', 'paper'),
    [(0.5, 41.3, 38.5, 40), (1.0, 144.7, 143.1, 145), (1.5, 305.5, 308.1, 305), (2.0, 528.0, 538.1, 525)],
)
def test_other_widths(width, macs, shuffle, paper):
    """Published: arXiv 1807.11164, Table 8."""
    counted = multiply_adds(lambda: XceptionStar(widen_factor=width, num_classes=1000)) / 1e6
    assert counted == pytest.approx(macs, abs=0.05)
    assert counted == pytest.approx(paper, rel=0.034)
    counted = multiply_adds(lambda: XceptionStar('shuffle', width, num_classes=1000)) / 1e6
    assert counted == pytest.approx(shuffle, abs=0.05)


@pytest.mark.parametrize(
    ('c5_stride', 'size', 'giga'),
    [(32, (800, 1200), 2.766), (32, (700, 1100), 2.239), (32, (800, 1280), 2.942), (16, (800, 1200), 4.541)],
)
def test_multiply_adds_at_detection_sizes(c5_stride, size, giga):
    assert multiply_adds(lambda: XceptionStar(c5_stride=c5_stride), *size) / 1e9 == pytest.approx(giga, abs=0.0006)


def test_shapes():
    assert shapes(lambda: XceptionStar(out_indices=(0, 1, 2)), 224, 224) == [(144, 28, 28), (288, 14, 14), (576, 7, 7)]
    assert shapes(XceptionStar, 800, 1200) == [(288, 50, 75), (576, 25, 38)]
    assert shapes(lambda: XceptionStar(c5_stride=16), 800, 1200) == [(288, 50, 75), (576, 50, 75)]


@pytest.mark.parametrize(('stride', 'strides'), [(32, (16, 32)), (16, (16, 16))])
def test_declared_outputs(stride, strides):
    net = XceptionStar(c5_stride=stride)
    assert (net.out_channels, net.out_strides) == ((288, 576), strides)


def test_a_unit_sees_7_by_7_pixels():
    """arXiv 1807.11164, section 5: the receptive field of its block, where those of the ShuffleNets see 3x3."""
    for block, field in (('xception', 7), ('shuffle', 3)):
        unit = XceptionStar(block).double().eval().layers[1][1]
        for module in unit.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.ones_(module.weight)
        x = torch.ones(1, 288, 15, 15, dtype=torch.double, requires_grad=True)
        unit(x)[0, 0, 7, 7].backward()
        seen = x.grad[0].sum(0).nonzero()
        assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [field, field]


def test_shuffle_blocks_are_shufflenet_v1_without_groups():
    net, v1 = reference.randomize(XceptionStar('shuffle', out_indices=(0, 1, 2))), ShuffleNetV1(1)
    assert v1.load_state_dict(net.state_dict(), strict=True) == ([], [])
    image = torch.randn(1, 3, 64, 64)
    assert all(torch.equal(a, b) for a, b in zip(net(image), v1.eval()(image), strict=True))


@pytest.mark.parametrize('block', ['xception', 'shuffle'])
def test_every_parameter_gets_a_gradient(block):
    net = reference.randomize(XceptionStar(block)).train()
    sum(x.square().mean() for x in net(torch.randn(2, 3, 64, 64))).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_pretraining_and_detector_share_weights():
    classifier = reference.randomize(XceptionStar(num_classes=5))
    detector = XceptionStar().eval()
    assert detector.load_state_dict(classifier.state_dict(), strict=True) == ([], [])
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(classifier.fc(detector(image)[-1].mean((2, 3))), classifier(image))


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: XceptionStar('resnet'), "XceptionStar: block.*'xception', 'shuffle'.*'resnet'"),
        (lambda: XceptionStar(widen_factor=0.75), r'widen_factor.*0\.5, 1\.0, 1\.5, 2\.0.*0\.75'),
        (lambda: XceptionStar(c5_stride=8), 'c5_stride.*32, 16.*8'),
        (lambda: XceptionStar(out_indices=(3,)), r'out_indices.*0\.\.2.*3'),
    ],
)
def test_impossible_arguments_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
