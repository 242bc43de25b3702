"""ShuffleNetV2 (arXiv 1807.11164) and SNet (arXiv 1903.11752): published sizes, shapes, dialects, training switches.

Figures: docs/specs/backbones.md.
"""

import copy

import pytest
import reference_shufflenets as reference
import torch
from counting import multiply_adds, parameters, shapes
from mmengine.registry import init_default_scope
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlight.models.backbones import ShuffleNetV2, SNet
from mmlight.models.backbones.shufflenet_v2 import channel_shuffle
from mmlight.registry import MODELS

ARCHS = (49, 146, 535)
KEEP = {'first_block': 'keep', 'shuffle_mode': 'parity'}
HALF = {'first_block': 'half', 'shuffle_mode': 'interleave'}


@pytest.mark.parametrize(
    ('width', 'dialect', 'expected'),
    [
        (0.5, HALF, 1_366_792), (1.0, HALF, 2_278_604), (1.5, HALF, 3_503_624), (2.0, HALF, 7_393_996),
        (0.5, KEEP, 1_366_792), (1.0, KEEP, 2_279_760), (1.5, KEEP, 3_507_720), (2.0, KEEP, 7_403_600),
    ],
)  # fmt: skip
def test_v2_classifier_has_the_published_parameters(width, dialect, expected):
    assert parameters(ShuffleNetV2(width, num_classes=1000, **dialect)) == expected


@pytest.mark.parametrize(
    ('width', 'dialect', 'expected'),
    [
        (0.5, HALF, 341_792), (1.0, HALF, 1_253_604), (1.5, HALF, 2_478_624), (2.0, HALF, 5_344_996),
        (0.5, KEEP, 341_792), (1.0, KEEP, 1_254_760), (1.5, KEEP, 2_482_720), (2.0, KEEP, 5_354_600),
    ],
)  # fmt: skip
def test_v2_backbone_with_conv5_has_the_published_parameters(width, dialect, expected):
    assert parameters(ShuffleNetV2(width, out_indices=(3,), **dialect)) == expected


@pytest.mark.parametrize(
    ('width', 'dialect', 'expected', 'paper', 'tolerance'),
    [
        (0.5, HALF, 40_476_448, 40e6, 0.013), (1.0, HALF, 144_907_992, 145e6, 0.01),
        (1.5, HALF, 295_759_392, 296e6, 0.01), (2.0, HALF, 583_253_464, 583e6, 0.01),
        (0.5, KEEP, 40_476_448, 41e6, 0.013), (1.0, KEEP, 145_814_296, 146e6, 0.002),
        (1.5, KEEP, 298_970_656, 299e6, 0.002), (2.0, KEEP, 590_783_000, 591e6, 0.002),
    ],
)  # fmt: skip
def test_v2_multiply_adds(width, dialect, expected, paper, tolerance):
    counted = multiply_adds(lambda: ShuffleNetV2(width, num_classes=1000, **dialect))
    assert counted == expected
    assert counted == pytest.approx(paper, rel=tolerance)


@pytest.mark.parametrize(
    ('width', 'paper'), [(0.5, 42.9e6), (1.0, 150.7e6), (1.5, 306.0e6), (2.0, 600.3e6)]
)  # fmt: skip
def test_v2_with_leading_depthwise_convolutions(width, paper):
    """The paper's detection variant V2*, as a table of one's own."""
    stages = tuple(zip(reference.V2_STAGES[width], reference.UNITS, strict=True))
    table = {'stem': 24, 'stages': stages, 'final': reference.V2_FINAL[width]}
    plain, leading = (
        multiply_adds(lambda t=t: SNet(t, num_classes=1000, **KEEP))
        for t in (table, {**table, 'leading_depthwise': True})
    )
    assert plain == multiply_adds(lambda: ShuffleNetV2(width, num_classes=1000, **KEEP))
    assert leading == pytest.approx(paper, abs=0.05e6)


@pytest.mark.parametrize(
    ('arch', 'half', 'keep'), [(49, 362_548, 362_584), (146, 1_043_748, 1_045_512), (535, 3_542_144, 3_547_920)]
)
def test_snet_backbone_has_the_published_parameters(arch, half, keep):
    assert parameters(SNet(arch)) == half
    assert parameters(SNet(arch, **KEEP)) == keep


@pytest.mark.parametrize(
    ('arch', 'half', 'keep'), [(49, 875_548, 875_584), (146, 1_572_748, 1_574_512), (535, 4_535_144, 4_540_920)]
)
def test_snet_classifier_has_the_published_parameters(arch, half, keep):
    assert parameters(SNet(arch, num_classes=1000)) == half
    assert parameters(SNet(arch, num_classes=1000, **KEEP)) == keep


@pytest.mark.parametrize(
    ('arch', 'half', 'keep'), [(49, 51_205_832, 51.23e6), (146, 161_137_848, 162.52e6), (535, 535_354_640, 539.88e6)]
)
def test_snet_multiply_adds(arch, half, keep):
    counted = multiply_adds(lambda: SNet(arch, num_classes=1000))
    assert counted == half
    assert multiply_adds(lambda: SNet(arch, num_classes=1000, **KEEP)) == pytest.approx(keep, abs=0.005e6)
    if arch == 535:
        assert counted == pytest.approx(535e6, rel=0.001)  # the paper's own figure


@pytest.mark.parametrize('dialect', [HALF, KEEP])
@pytest.mark.parametrize(('width', 'channels'), reference.V2_STAGES.items())
def test_v2_stage_shapes_at_224(width, channels, dialect):
    final = 2048 if width == 2.0 else 1024
    assert shapes(lambda: ShuffleNetV2(width, out_indices=(0, 1, 2, 3), **dialect), 224, 224) == [
        (channels[0], 28, 28),
        (channels[1], 14, 14),
        (channels[2], 7, 7),
        (final, 7, 7),
    ]


@pytest.mark.parametrize(('arch', 'c4', 'c5'), [(49, 120, 512), (146, 264, 528), (535, 496, 992)])
def test_snet_gives_c4_and_c5_at_320(arch, c4, c5):
    assert shapes(lambda: SNet(arch), 320, 320) == [(c4, 20, 20), (c5, 10, 10)]


def test_odd_sizes_round_up():
    # 101 -> 51 -> 26 -> 13 -> 7 -> 4 and 67 -> 34 -> 17 -> 9 -> 5 -> 3
    net = SNet(49, out_indices=(0, 1, 2, 3)).eval()
    assert [x.shape[2:] for x in net(torch.zeros(1, 3, 101, 67))] == [(13, 9), (7, 5), (4, 3), (4, 3)]


@pytest.mark.parametrize(
    ('make', 'channels', 'strides'),
    [
        (lambda: ShuffleNetV2(1.0), (116, 232, 464), (8, 16, 32)),
        (lambda: ShuffleNetV2(2.0, out_indices=(0, 3)), (244, 2048), (8, 32)),
        (lambda: SNet(49), (120, 512), (16, 32)),
        (lambda: SNet(146), (264, 528), (16, 32)),
        (lambda: SNet(535, out_indices=(0,)), (248,), (8,)),
    ],
)
def test_declared_outputs_are_the_real_ones(make, channels, strides):
    net = make()
    assert (net.out_channels, net.out_strides) == (channels, strides)
    assert shapes(make, 64, 96) == [(c, 64 // s, 96 // s) for c, s in zip(channels, strides, strict=True)]


@pytest.mark.parametrize(('make', 'kernel'), [
    (lambda: ShuffleNetV2(0.5), 3),
    (lambda: ShuffleNetV2(0.5, kernel_size=5), 5),
    (lambda: SNet(49), 5),
])  # fmt: skip
def test_kernel_of_every_depthwise_convolution(make, kernel):
    depthwise = [m for m in make().modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(depthwise) == 16 + 3  # one a unit, and one in each of the three projections
    assert {(m.kernel_size, m.padding) for m in depthwise} == {((kernel, kernel), (kernel // 2, kernel // 2))}


def test_channel_shuffle_interleaves_the_halves():
    x = torch.arange(10.0).view(1, 10, 1, 1)
    assert channel_shuffle(x, 2).flatten().tolist() == [0, 5, 1, 6, 2, 7, 3, 8, 4, 9]


@pytest.mark.parametrize('width', [0.5, 1.0])
def test_the_shuffle_modes_compute_different_functions(width):
    """With equal weights, for either first block: that is why a load of the wrong dialect must not pass."""
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    for first_block in ('half', 'keep'):
        outputs = []
        for mode in ('interleave', 'parity'):
            net = reference.randomize(ShuffleNetV2(width, first_block=first_block, shuffle_mode=mode))
            outputs.append(net(image)[-1])
        assert (outputs[0] - outputs[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: ShuffleNetV2(0.75), r'widen_factor.*0\.5, 1\.0, 1\.5, 2\.0.*0\.75'),
        (lambda: ShuffleNetV2(kernel_size=7), 'kernel_size.*3, 5.*7'),
        (lambda: ShuffleNetV2(out_indices=(4,)), r'out_indices.*0\.\.3.*4'),
        (lambda: ShuffleNetV2(out_indices=()), 'out_indices'),
        (lambda: ShuffleNetV2(out_indices=(2, 1)), 'out_indices.*ascending'),
        (lambda: ShuffleNetV2(out_indices=(-1,)), 'out_indices'),
        (lambda: SNet(146, out_indices=(3,)), r'out_indices.*0\.\.2'),
        (lambda: SNet(50), 'arch.*49, 146, 535.*50'),
        (lambda: SNet(frozen_stages=6), r'frozen_stages.*-1\.\.4'),
        (lambda: SNet(first_block='whole'), "first_block.*'half', 'keep'.*whole"),
        (lambda: SNet(shuffle_mode='random'), "shuffle_mode.*'interleave', 'parity'.*random"),
    ],
)
def test_impossible_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_builds_from_a_config_under_either_host_scope():
    for scope in ('mmdet', 'mmseg'):
        init_default_scope(scope)
        assert isinstance(MODELS.build({'type': 'mmlight.SNet', 'arch': 535}), SNet)
        assert isinstance(MODELS.build({'type': 'mmlight.ShuffleNetV2', 'widen_factor': 1.5}), ShuffleNetV2)


@pytest.mark.parametrize(
    'make', [lambda: ShuffleNetV2(0.5), lambda: ShuffleNetV2(0.5, **KEEP), *(lambda a=a: SNet(a) for a in ARCHS)]
)
def test_every_parameter_gets_a_gradient(make):
    net = reference.randomize(make()).train()
    sum(x.square().mean() for x in net(torch.randn(2, 3, 64, 64))).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_what_lies_behind_the_last_output_is_not_built():
    assert {name.split('.')[1] for name, _ in SNet(49, out_indices=(1,)).named_parameters() if 'layers' in name} == {
        '0',
        '1',
    }


def test_a_classifier_gives_logits():
    assert SNet(146, num_classes=7).eval()(torch.zeros(2, 3, 96, 64)).shape == (2, 7)


def statistics(module):
    return {name: b.clone() for name, b in module.named_buffers()}


def train_step(net):
    """Any step that would change the weights and the statistics of what is not frozen."""
    assert net.train() is net
    sum(x.square().mean() for x in net(torch.randn(2, 3, 64, 64))).backward()


@pytest.mark.parametrize('frozen', [-1, 0, 1, 3, 4])
def test_frozen_stages_keep_weights_and_statistics(frozen):
    net = SNet(49, frozen_stages=frozen)
    parts = [net.conv1, *net.layers]  # stem, stage 2, 3, 4, conv5
    trainable = [any(p.requires_grad for p in part.parameters()) for part in parts]
    reference.randomize(net)
    before = [statistics(part) for part in parts]
    if frozen < 4:
        train_step(net)
    else:
        net.train()(torch.randn(2, 3, 64, 64))
    for i, part in enumerate(parts):
        held = i <= frozen
        assert trainable[i] is not held, 'frozen as soon as it is built, before an optimizer or DDP sees it'
        assert all((p.grad is None) is held for p in part.parameters()) or frozen == 4
        after = statistics(part)
        assert all(torch.equal(after[name], value) for name, value in before[i].items()) is held


def test_norm_eval_holds_every_statistic_and_trains_the_weights():
    net = reference.randomize(SNet(49, norm_eval=True))
    before = statistics(net)
    train_step(net)
    assert net.training
    assert not any(m.training for m in net.modules() if isinstance(m, _BatchNorm))
    assert all(torch.equal(value, before[name]) for name, value in statistics(net).items())
    assert all(p.grad is not None for p in net.parameters())


def test_eval_and_back():
    net = SNet(49, frozen_stages=1)
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert [part.training for part in (net.conv1, *net.layers)] == [False, False, True, True, True]


def test_initial_weights_are_the_release_s():
    """Stem N(0, 0.01), other convolutions N(0, 1 / input channels), BN 1 and 0.0001, fc N(0, 0.01)."""
    torch.manual_seed(0)
    net = SNet(535, num_classes=100)
    net.init_weights()
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight.detach()
            std = 0.01 if name.startswith('conv1') else 1 / (module.in_channels // module.groups)
            if weight.numel() > 5000:
                assert weight.std().item() == pytest.approx(std, rel=0.1), name
            assert abs(weight.mean().item()) < 5 * std / weight.numel() ** 0.5, name
            assert module.bias is None
        elif isinstance(module, _BatchNorm):
            assert (module.weight == 1).all()
            assert torch.allclose(module.bias, torch.tensor(1e-4))
            assert (module.eps, module.momentum) == (1e-5, 0.1)
    assert net.fc.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not net.fc.bias.any()


def test_a_copy_is_complete():
    """mmengine's EMA hook copies models."""
    net = reference.randomize(SNet(49, **KEEP))
    image = torch.randn(1, 3, 64, 64)
    twin = copy.deepcopy(net)
    twin.load_state_dict(net.state_dict())
    assert torch.equal(twin(image)[1], net(image)[1])
