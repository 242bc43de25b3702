"""ShuffleNetV1 (arXiv 1707.01083): published sizes, widths, the two dialects.

Figures: docs/specs/backbones.md.
"""

import pytest
import reference_shufflenets as reference
import torch
from counting import multiply_adds, parameters, shapes
from torch import nn

from mmlight.errors import InputError
from mmlight.models.backbones import ShuffleNetV1
from mmlight.models.backbones.shufflenet_v1 import ShuffleV1Unit, widths

GROUPS = (1, 2, 3, 4, 8)


@pytest.mark.parametrize(
    ('groups', 'size', 'macs', 'paper'),
    [
        (1, 1_531_936, 143_078_976, 143e6),
        (2, 1_733_848, 140_836_512, 140e6),
        (3, 1_865_728, 137_460_672, 137e6),
        (4, 1_968_344, 134_339_776, 133e6),
        (8, 2_434_768, 138_365_952, 137e6),
    ],
)
def test_published_size_at_width_1(groups, size, macs, paper):
    def make():
        return ShuffleNetV1(groups, num_classes=1000)

    assert parameters(make()) == size
    assert multiply_adds(make) == macs == pytest.approx(paper, rel=0.011)


@pytest.mark.parametrize(
    ('groups', 'factor', 'stem', 'stages', 'million', 'megvii'),
    [
        (3, 0.5, 12, (120, 240, 480), 0.717, 38), (3, 1.0, 24, (240, 480, 960), 1.865, 138),
        (3, 1.5, 24, (360, 720, 1440), 3.441, 292), (3, 2.0, 48, (480, 960, 1920), 5.450, 524),
        (8, 0.5, 16, (192, 384, 768), 1.010, 40), (8, 1.0, 24, (384, 768, 1536), 2.434, 138),
        (8, 1.5, 24, (576, 1152, 2304), 4.269, 290), (8, 2.0, 48, (768, 1536, 3072), 6.521, 522),
    ],
)  # fmt: skip
def test_widths_of_the_authors_release(groups, factor, stem, stages, million, megvii):
    """Their classifier has no bias: 1000 parameters fewer."""

    def make():
        return ShuffleNetV1(groups, factor, num_classes=1000)

    assert widths(groups, factor) == (stem, stages)
    assert (parameters(make()) - 1000) / 1e6 == pytest.approx(million, abs=0.0006)
    assert multiply_adds(make) / 1e6 == pytest.approx(megvii, abs=0.6)


@pytest.mark.parametrize('groups', GROUPS)
@pytest.mark.parametrize('factor', [0.25, 0.35, 0.5, 0.75, 1.0, 1.3, 1.5, 2.0])
def test_every_width_divides(groups, factor):
    """Plain scaling has unequal groups at 0.5 (4 and 8 groups) and 0.25 (3, 4 and 8)."""
    stem, stages = widths(groups, factor)
    assert all(width % (4 * groups) == 0 for width in stages)
    assert stem % 4 == 0
    assert (stages[0] - stem) % groups == 0
    if factor < 0.5:  # small ones build quickly; a group convolution with unequal groups raises
        net = ShuffleNetV1(groups, factor)
        assert net.out_channels == stages
        assert net.conv1.conv.out_channels == stem


def test_paper_s_half_width_with_four_groups():
    """38 MFLOPs (arXiv 1707.01083, Table 2), where plain scaling raises."""
    assert multiply_adds(lambda: ShuffleNetV1(4, 0.5, num_classes=1000)) == pytest.approx(38e6, rel=0.01)


@pytest.mark.parametrize('groups', GROUPS)
def test_shapes_and_declared_outputs(groups):
    net = ShuffleNetV1(groups)
    stages = {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}[groups]
    assert net.out_channels == (stages, 2 * stages, 4 * stages)
    assert net.out_strides == (8, 16, 32)
    found = shapes(lambda: ShuffleNetV1(groups), 101, 67)
    assert found == [(stages, 13, 9), (2 * stages, 7, 5), (4 * stages, 4, 3)]


def test_groups_of_every_convolution():
    """Only the very first 1x1 convolution has none."""
    net = ShuffleNetV1(8)
    units = [unit for layer in net.layers for unit in layer]
    assert [unit.compress.conv.groups for unit in units] == [1] + [8] * 15
    assert {unit.expand.conv.groups for unit in units} == {8}
    assert all(unit.depthwise.conv.groups == unit.depthwise.conv.in_channels for unit in units)


@pytest.mark.parametrize('mode', ['interleave', 'parity'])
def test_every_input_channel_reaches_every_output_channel(mode):
    """What the shuffle is for: without it, an output group would see its own input group only."""
    unit = ShuffleV1Unit(96, 96, groups=4, first_groups=4, parity=mode == 'parity').eval()
    for module in unit.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    x = torch.zeros(1, 96, 3, 3)
    x[:, 0] = 1.0
    assert (unit(x)[0, :, 1, 1] > 0).all()


@pytest.mark.parametrize('groups', GROUPS)
def test_every_parameter_gets_a_gradient(groups):
    net = reference.randomize(ShuffleNetV1(groups, 0.5)).train()
    sum(x.square().mean() for x in net(torch.randn(2, 3, 64, 64))).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_shuffle_modes_compute_different_functions():
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    outputs = [reference.randomize(ShuffleNetV1(8, 0.5, mode))(image)[-1] for mode in ('interleave', 'parity')]
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: ShuffleNetV1(5), r'ShuffleNetV1: groups.*1, 2, 3, 4, 8.*5'),
        (lambda: ShuffleNetV1(widen_factor=0.01), r'widen_factor.*0\.01'),
        (lambda: ShuffleNetV1(widen_factor=-1), r'widen_factor.*-1'),
        (lambda: ShuffleNetV1([3]), r'groups must be one of .*, got \[3\]'),
        (lambda: ShuffleNetV1(widen_factor='1.0'), "ShuffleNetV1: widen_factor must be a positive number, got '1.0'"),
        (lambda: ShuffleNetV1(widen_factor=float('nan')), 'widen_factor must be a positive number, got nan'),
        (lambda: ShuffleNetV1(out_indices=1), 'ShuffleNetV1: out_indices must be a sequence of integers, got 1'),
        (lambda: ShuffleNetV1(out_indices=('a',)), r"out_indices must be a sequence of integers, got \('a',\)"),
        (lambda: ShuffleNetV1(dilations=2), 'ShuffleNetV1: dilations must be integers in a row, got 2'),
        (lambda: ShuffleNetV1(out_indices=(3,)), r'out_indices.*0\.\.2.*3'),
        (lambda: ShuffleNetV1(shuffle_mode='random'), "shuffle_mode.*'interleave', 'parity'.*random"),
        (lambda: ShuffleV1Unit(12, 68, groups=4), 'ShuffleV1Unit: 12 to 68 channels.*17 channels in 4 groups'),
        (lambda: ShuffleV1Unit(10, 64, groups=4), '54 channels in 4 groups'),
        (lambda: ShuffleV1Unit(30, 60, groups=3, first_groups=4), '30 channels in 4 groups'),
        (lambda: ShuffleV1Unit(64, 32), '-32 channels'),
    ],
)
def test_impossible_arguments_are_named(make, message):
    with pytest.raises(InputError, match=message) as error:
        make()
    assert '\n' not in str(error.value)
