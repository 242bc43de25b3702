"""The guidelines: formulas and experiments against arXiv 1807.11164, Tables 1 to 4, and brute force."""

import math

import pytest

from benchmarks.guideline_experiments import EXPERIMENTS, SIDE, pointwise
from mmlight.measure.guidelines import Convolution
from mmlight.measure.layer_costs import measure_layers

HW = 56 * 56


def convolution(c1: int, c2: int, groups: int = 1, kernel: tuple[int, int] = (1, 1)) -> Convolution:
    return Convolution(c1, c2, groups, kernel, (HW, HW), (56, 56))


@pytest.mark.parametrize(
    ('c1', 'c2', 'ratio'), [(128, 128, 1.000), (90, 180, 1.059), (52, 312, 1.420), (36, 432, 1.859)]
)
def test_g1_cost_over_the_bound(c1, c2, ratio):
    (layer,) = measure_layers(pointwise(c1, c2), (56, 56), device='meta', channels=c1).layers
    macs = HW * c1 * c2
    assert layer.macs == macs
    assert layer.accesses == HW * (c1 + c2) + c1 * c2
    assert layer.bound == pytest.approx(2 * math.sqrt(HW * macs) + macs / HW)  # the paper's formula
    assert round(layer.factor, 3) == ratio
    assert layer.breaks == (() if c1 == c2 else ('G1',))


@pytest.mark.parametrize(
    ('groups', 'channels', 'cost'), [(1, 128, 819200), (2, 180, 1145160), (4, 256, 1622016), (8, 360, 2274120)]
)
def test_g2_cost(groups, channels, cost):
    (layer,) = measure_layers(pointwise(channels, channels, groups), (56, 56), device='meta', channels=channels).layers
    assert layer.accesses == cost
    assert layer.macs == HW * channels**2 // groups
    assert layer.breaks == (() if groups == 1 else ('G2',))
    assert layer.convolutions[0].width_factor == pytest.approx(1)


@pytest.mark.parametrize('kernel', [(1, 1), (3, 3), (15, 1)])
@pytest.mark.parametrize('groups', [1, 4])
def test_no_widths_cost_less_than_the_bound(kernel, groups):
    """All pairs of widths with c1 * c2 = 4096: equal ones are the cheapest, and without groups they are the bound."""
    pairs = [(2**i, 2 ** (12 - i)) for i in range(2, 11)]
    costs = {c1: convolution(c1, c2, groups, kernel).accesses for c1, c2 in pairs}
    assert min(costs, key=costs.get) == 64
    assert convolution(64, 64, groups, kernel).width_factor == pytest.approx(1)
    equal_macs = convolution(64 // math.isqrt(groups), 64 // math.isqrt(groups), 1, kernel)
    assert convolution(64, 64, groups, kernel).bound == pytest.approx(equal_macs.accesses)
    for c1, c2 in pairs:
        found = convolution(c1, c2, groups, kernel)
        assert found.accesses >= found.bound * (1 - 1e-12)
        assert found.width_factor * found.group_factor == pytest.approx(found.accesses / found.bound)


def test_kinds():
    assert [convolution(*sizes).kind for sizes in ((8, 8), (8, 8, 2), (8, 8, 8), (8, 16, 8), (1, 8))] == [
        '1x1', 'grouped', 'depthwise', 'depthwise', '1x1',
    ]  # fmt: skip
    assert convolution(8, 8, 1, (3, 3)).kind == 'dense'
    assert convolution(8, 64, 8).breaks == ('G4',)
    assert set(convolution(240, 60, 3).breaks) == {'G1', 'G2'}
    assert convolution(8, 64, 1, (3, 3)).breaks == ()  # G1 is about 1x1 convolutions


@pytest.mark.parametrize('name', EXPERIMENTS)
def test_variants_of_an_experiment_have_equal_multiply_adds(name):
    found = [measure_layers(v.build(), SIDE, device='meta', channels=v.channels) for v in EXPERIMENTS[name]]
    assert [costs.macs for costs in found] == pytest.approx([found[0].macs] * len(found), rel=0.06)  # the paper rounds
    for variant, costs in zip(EXPERIMENTS[name], found, strict=True):
        assert variant.image(2).shape == (2, variant.channels, 56, 56)
        assert costs.accesses >= (found[-1] if name == 'G4' else found[0]).accesses
