"""MobileNetV2 (arXiv 1801.04381): published sizes, what mmdet's and mmseg's classes do wrong, dilation.

Figures: docs/specs/backbones.md.
"""

import pytest
import reference_shufflenets as reference
import torch
from counting import multiply_adds, parameters, shapes
from mmengine.registry import init_default_scope
from torch import nn

from mmlight.errors import InputError
from mmlight.models.backbones import MobileNetV2
from mmlight.registry import MODELS

OS8 = {'strides': (1, 2, 2, 1, 1, 1, 1), 'dilations': (1, 1, 1, 2, 2, 4, 4)}  # as mmseg's configs write it


def test_published_size():
    assert parameters(MobileNetV2(num_classes=1000)) == 3_504_872
    assert multiply_adds(lambda: MobileNetV2(num_classes=1000)) == 300_774_272 == pytest.approx(300e6, rel=0.003)


@pytest.mark.parametrize(
    ('width', 'million', 'macs'),
    [(0.35, 1.677, 59.3), (0.5, 1.969, 97.1), (0.75, 2.636, 209.1), (1.0, 3.505, 300.8), (1.4, 6.109, 582.2)],
)
def test_other_widths(width, million, macs):
    assert parameters(MobileNetV2(width, num_classes=1000)) / 1e6 == pytest.approx(million, abs=0.0006)
    assert multiply_adds(lambda: MobileNetV2(width, num_classes=1000)) / 1e6 == pytest.approx(macs, abs=0.06)


def test_widths_are_torchvision_s(torchvision_models):
    for width in (0.35, 0.4, 0.75, 1.3):
        assert parameters(MobileNetV2(width, num_classes=1000)) == parameters(
            torchvision_models.mobilenet_v2(width_mult=width)
        )


@pytest.mark.parametrize(
    ('settings', 'giga', 'strides'), [({}, 11.68, (4, 8, 16, 32)), (OS8, 61.36, (4, 8, 8, 8))]
)  # fmt: skip
def test_as_a_segmentation_backbone(settings, giga, strides):
    net = MobileNetV2(**settings)
    assert parameters(net) == pytest.approx(1.812e6, abs=500)
    assert (net.out_channels, net.out_strides) == ((24, 32, 96, 320), strides)
    assert shapes(lambda: MobileNetV2(**settings), 96, 128) == [
        (c, 96 // s, 128 // s) for c, s in zip(net.out_channels, strides, strict=True)
    ]
    assert multiply_adds(lambda: MobileNetV2(**settings), 1024, 2048) / 1e9 == pytest.approx(giga, abs=0.005)


def same(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert expected.std() > 0.01


def torchvision_features(net, image):
    """Outputs of the seven stages and of the last convolution."""
    outputs = []
    for i, layer in enumerate(net.features):
        image = layer(image)
        if i in (1, 3, 6, 10, 13, 16, 17, 18):
            outputs.append(image)
    return outputs


def dilated(net, stages):
    """torchvision's network with other strides and dilations: units by stage -> (stride, dilation)."""
    starts = dict(zip(range(7), (1, 2, 4, 7, 11, 14, 17), strict=True))
    for stage, (stride, dilation) in stages.items():
        for unit in net.features[starts[stage] : starts.get(stage + 1, 18)]:
            for conv in unit.modules():
                if isinstance(conv, nn.Conv2d) and conv.groups > 1:
                    conv.stride = (stride, stride) if conv.stride == (2, 2) else conv.stride
                    conv.dilation = conv.padding = (dilation, dilation)
    return net


@torch.no_grad()
def test_all_units_of_a_stage_are_dilated(torchvision_models):
    """Where mmseg's class dilates the first only."""
    net = reference.randomize(torchvision_models.mobilenet_v2())
    own = MobileNetV2(out_indices=range(8), **OS8).eval()
    own.load_state_dict(net.state_dict())
    dilated(net, {3: (1, 2), 4: (1, 2), 5: (1, 4), 6: (1, 4)})
    image = torch.randn(1, 3, 64, 64)
    found, expected = own(image), torchvision_features(net, image)
    assert [x.shape[-1] for x in found] == [32, 16, 8, 8, 8, 8, 8, 8]
    for a, b in zip(found, expected, strict=True):
        same(a, b)


@torch.no_grad()
def test_ssdlite_s_map_is_the_expansion_behind_the_last_unit_of_stride_16(torchvision_models):
    """576 channels (arXiv 1801.04381, section 6.2), beside the 1280 of the last convolution."""
    net = reference.randomize(torchvision_models.mobilenet_v2())
    own = MobileNetV2(expanded_c4=True, out_indices=(2, 4, 7)).eval()
    assert (own.out_channels, own.out_strides) == ((32, 576, 1280), (8, 16, 32))
    own.load_state_dict(net.state_dict())
    image = torch.randn(1, 3, 64, 64)
    c3, c4, c5 = own(image)
    stages = torchvision_features(net, image)
    same(c3, stages[2])
    same(c4, net.features[14].conv[0](stages[4]))
    same(c5, stages[7])
    assert parameters(own) == parameters(MobileNetV2(out_indices=(7,)))


def test_what_lies_behind_the_last_output_is_not_built():
    """mmdet's class builds and runs a 1280-channel convolution without gradients for every detector."""
    net = MobileNetV2(out_indices=(2, 4, 6)).train()
    sum(x.square().mean() for x in net(torch.randn(2, 3, 64, 64))).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []
    assert max(m.out_channels for m in net.modules() if isinstance(m, nn.Conv2d)) == 960


def test_ssdlite_of_mmdet_has_the_published_size():
    """4,228,788 parameters with mmdet's class, which is what is built here with the same outputs."""
    pytest.importorskip('mmdet')
    init_default_scope('mmdet')
    norm = {'type': 'BN', 'eps': 0.001, 'momentum': 0.03}
    channels = (1280, 512, 256, 256, 128)
    layers = {'use_depthwise': True, 'norm_cfg': norm, 'act_cfg': {'type': 'ReLU6'}}

    def make(c4=96, **settings):
        return MODELS.build(
            {
                'type': 'SingleStageDetector',
                'backbone': {'type': 'mmlight.MobileNetV2', 'out_indices': (4, 7), 'norm_cfg': norm, **settings},
                'neck': {
                    'type': 'SSDNeck', 'in_channels': (c4, 1280), 'out_channels': (c4, *channels),
                    'level_strides': (2, 2, 2, 2), 'level_paddings': (1, 1, 1, 1), 'l2_norm_scale': None, **layers,
                },
                'bbox_head': {
                    'type': 'SSDHead', 'in_channels': (c4, *channels), 'num_classes': 80, **layers,
                    'anchor_generator': {
                        'type': 'SSDAnchorGenerator', 'scale_major': False, 'strides': [16, 32, 64, 107, 160, 320],
                        'ratios': [[2, 3]] * 6, 'min_sizes': [48, 100, 150, 202, 253, 304],
                        'max_sizes': [100, 150, 202, 253, 304, 320],
                    },
                },
            }
        )  # fmt: skip

    assert parameters(make()) == 4_228_788
    assert multiply_adds(make, 320, 320) == pytest.approx(746.2e6, rel=0.001)
    assert multiply_adds(lambda: make().backbone, 320, 320) == pytest.approx(611.2e6, rel=0.001)
    scores, _ = make(576, expanded_c4=True).eval()(torch.zeros(1, 3, 320, 320))
    assert scores[0].shape == (1, 6 * 81, 20, 20)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: MobileNetV2(0), 'MobileNetV2: widen_factor.*0'),
        (lambda: MobileNetV2('1.0'), "MobileNetV2: widen_factor must be a positive number, got '1.0'"),
        (lambda: MobileNetV2(out_indices=(8,)), r'out_indices.*0\.\.7.*8'),
        (lambda: MobileNetV2(frozen_stages=9), r'frozen_stages.*-1\.\.8.*9'),
        (lambda: MobileNetV2(expanded_c4=True, out_indices=(5, 7)), r'expanded_c4.*4.*\(5, 7\)'),
        (lambda: MobileNetV2(expanded_c4=True, out_indices=(2, 4)), r'expanded_c4.*later.*\(2, 4\)'),
        (lambda: MobileNetV2(strides=(1, 2)), r'strides must be 7 numbers.*\(1, 2\)'),
    ],
)
def test_impossible_arguments_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
