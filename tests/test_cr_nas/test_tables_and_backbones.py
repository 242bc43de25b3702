"""Spaces, published allocations and stand-alone networks against docs/specs/cr_nas.md."""

import random

import pytest
import torch
from mmengine.config import Config

from mmlight.errors import InputError
from mmlight.measure.complexity import measure
from mmlight.models.backbones.cr_backbones import CRMobileNetV2, CRResNet, CRResNeXt
from mmlight.nas.spaces import OpSpace, StageSpace
from mmlight.tables.allocations import (
    BASELINES,
    MOBILENET_V2_BASELINE,
    MOBILENET_V2_BLOCK_MACS,
    MOBILENET_V2_CHOICES,
    MOBILENET_V2_MACS,
    MOBILENET_V2_WEIGHTS,
    PUBLISHED,
    SCR_MOBILENET_V2,
    SCR_RESNET18,
    SCR_RESNET50,
    SCR_RESNET101,
    theoretical_fields,
)

SCR = {18: SCR_RESNET18.stage_blocks, 50: SCR_RESNET50.stage_blocks, 101: SCR_RESNET101.stage_blocks}
NINE = ['1124', '1133', '1223', '1232', '1322', '2123', '2132', '2222', '3122']


def count(network, *arguments, side=224, **options):
    with torch.device('meta'):
        found = measure(network(*arguments, **options), side if isinstance(side, tuple) else (side, side))
    return found.parameters, found.macs


@pytest.mark.parametrize(('budget', 'size'), [(8, 9), (16, 153), (33, 374), (50, 65), (None, 10_000)])
def test_size_of_the_stage_space(budget, size):
    assert StageSpace(budget=budget).size == size


def test_the_nine():
    assert [''.join(map(str, blocks)) for blocks in StageSpace(budget=8).members()] == NINE


def test_baselines_and_published_allocations_are_members():
    for depth, blocks in SCR.items():
        space = StageSpace(budget=sum(blocks))
        assert blocks in space
        assert BASELINES[depth] in space
    assert (3, 8, 36, 3) not in StageSpace()
    space = StageSpace(MOBILENET_V2_CHOICES, 16, MOBILENET_V2_WEIGHTS)
    assert SCR_MOBILENET_V2.stage_blocks in space
    assert MOBILENET_V2_BASELINE in space
    assert all(table.status == 'published' and table.block_dilations is None for table in PUBLISHED.values())


def test_mobilenet_budgets():
    assert StageSpace(MOBILENET_V2_CHOICES, 16, MOBILENET_V2_WEIGHTS).size == 43
    assert StageSpace(MOBILENET_V2_CHOICES, 15).size == 185
    budget = sum(w * n for w, n in zip(MOBILENET_V2_BLOCK_MACS, MOBILENET_V2_BASELINE, strict=True))
    for share, size in ((0.06, 366), (0.05, 308), (0.01, 59), (0.005, 30)):
        assert StageSpace(MOBILENET_V2_CHOICES, budget, MOBILENET_V2_BLOCK_MACS, share * MOBILENET_V2_MACS).size == size


def test_sampling_stays_in_the_budget():
    space, rng = StageSpace(budget=16), random.Random(0)
    found = {space.decode(space.sample(rng)) for _ in range(300)}
    assert found <= set(space.members())
    assert len(found) > 60
    assert space.decode(space.encode((1, 3, 5, 7))) == (1, 3, 5, 7)


@pytest.mark.parametrize(('blocks', 'size'), [(8, 6561), (16, 43_046_721)])
def test_size_of_the_dilation_space(blocks, size):
    assert OpSpace(blocks).size == size


def test_spaces_write_configs():
    config = Config(dict(model=dict(backbone=dict(type='mmlight.CRResNet', depth=18, block_dilations=(1,) * 8))))
    StageSpace(budget=8).apply((1, 1, 2, 4), config)
    assert config.model.backbone.stage_blocks == (1, 1, 2, 4)
    assert config.model.backbone.block_dilations is None
    OpSpace(8).apply((1, 1, 1, 1, 2, 2, 3, 3), config)
    assert CRResNet(**{k: v for k, v in config.model.backbone.items() if k != 'type'}).block_dilations[-1] == 3


PARAMETERS = {18: (11.177, 20.248), 50: (23.508, 39.820), 101: (42.500, 71.147)}
MACS = {18: (1.814, 31.460), 50: (4.087, 70.899), 101: (7.799, 135.295)}


@pytest.mark.parametrize('depth', [18, 50, 101])
def test_parameters_and_multiply_adds(depth):
    own, macs = count(CRResNet, depth)
    assert own / 1e6 == pytest.approx(PARAMETERS[depth][0], abs=1e-3)
    assert macs / 1e9 == pytest.approx(MACS[depth][0], abs=1e-3)
    other, same = count(CRResNet, depth, SCR[depth])
    assert other / 1e6 == pytest.approx(PARAMETERS[depth][1], abs=1e-3)
    assert macs == same
    assert count(CRResNet, depth, side=(800, 1088))[1] / 1e9 == pytest.approx(MACS[depth][1], abs=1e-3)


@pytest.mark.parametrize(('depth', 'figures'), [(50, (22.980, 39.418, 73.350)), (101, (42.129, 70.996, 138.220))])
def test_resnext(depth, figures):
    options = dict(depth=depth, groups=32, base_width=4, side=(800, 1088))
    own, macs = count(CRResNeXt, **options)
    other, same = count(CRResNeXt, stage_blocks=SCR[depth], **options)
    assert (own / 1e6, other / 1e6, macs / 1e9) == pytest.approx(figures, abs=1e-3)
    assert macs == same


def test_mobilenet_v2():
    own, macs = count(CRMobileNetV2)
    other, more = count(CRMobileNetV2, SCR_MOBILENET_V2.stage_blocks)
    assert (own / 1e6, other / 1e6) == pytest.approx((2.224, 2.593), abs=1e-3)
    assert (macs / 1e6, more / 1e6) == pytest.approx((299.5, 316.4), abs=0.1)
    assert macs == MOBILENET_V2_MACS


def test_mobilenet_v2_blocks():
    groups = [f'layer{number}' for number in range(2, 7)]
    macs = []
    for extra in (0, 1):
        with torch.device('meta'):
            network = CRMobileNetV2([blocks + extra for blocks in MOBILENET_V2_BASELINE])
        parts = measure(network, (224, 224)).by_part
        macs.append([parts[group].macs for group in groups])
    assert [more - less for less, more in zip(*macs, strict=True)] == list(MOBILENET_V2_BLOCK_MACS)


def test_five_random_allocations_cost_the_same():
    members = random.Random(0).sample(list(StageSpace(budget=16).members()), 5)
    assert {count(CRResNet, 50, blocks, side=(256, 320))[1] for blocks in members[:5]} == {
        count(CRResNet, 50, side=(256, 320))[1]
    }


@pytest.mark.parametrize(
    ('network', 'options'),
    [
        (CRResNet, dict(depth=18, stage_blocks=(1, 1, 2, 4))),
        (CRResNet, dict(depth=50, stage_blocks=(1, 2, 2, 3))),
        (CRResNeXt, dict(depth=50, stage_blocks=(1, 2, 2, 3), groups=32, base_width=4)),
        (CRMobileNetV2, dict(stage_blocks=(1, 1, 2, 2, 2))),
    ],
)
def test_dilations_change_no_shape_and_no_cost(network, options):
    dilations = random.Random(1).choices((1, 2, 3), k=sum(options['stage_blocks']))
    options = dict(options, side=(96, 160))
    assert count(network, block_dilations=dilations, **options) == count(network, **options)
    del options['side']
    with torch.device('meta'):
        image = torch.zeros(1, 3, 96, 160)
        plain, dilated = network(**options), network(block_dilations=dilations, **options)
        assert [x.shape for x in dilated(image)] == [x.shape for x in plain(image)]


def test_which_convolution_is_dilated():
    basic = CRResNet(18, (1, 1, 1, 1), (1, 2, 3, 1))
    assert [block.conv1.dilation[0] for block in basic.blocks()] == [1, 1, 1, 1]
    assert [block.conv2.dilation[0] for block in basic.blocks()] == [1, 2, 3, 1]
    bottleneck = CRResNet(50, (1, 1, 1, 1), (1, 2, 3, 1))
    assert [block.conv2.dilation[0] for block in bottleneck.blocks()] == [1, 2, 3, 1]
    assert [block.conv2.stride[0] for block in bottleneck.blocks()] == [1, 2, 2, 2]


@pytest.mark.parametrize('blocks', [None, (1, 3, 5, 7)])
def test_shapes(blocks):
    with torch.device('meta'):
        outs = CRResNet(50, blocks)(torch.zeros(1, 3, 800, 1088))
    assert [tuple(x.shape[1:]) for x in outs] == [(256, 200, 272), (512, 100, 136), (1024, 50, 68), (2048, 25, 34)]


FIELDS = [
    ((3, 4, 6, 3), None, True, (35, 91, 267, 427)),
    ((1, 3, 5, 7), None, True, (19, 59, 203, 619)),
    ((1, 3, 5, 7), (1,) * 12 + (2,) * 4, True, (19, 59, 203, 875)),
    ((3, 4, 23, 3), None, True, (35, 91, 811, 971)),
    ((2, 3, 17, 11), None, True, (27, 67, 595, 1267)),
    ((2, 2, 2, 2), None, False, (43, 99, 211, 435)),
    ((1, 1, 2, 4), None, False, (27, 51, 163, 643)),
]


@pytest.mark.parametrize(('blocks', 'dilations', 'bottleneck', 'fields'), FIELDS)
def test_theoretical_fields(blocks, dilations, bottleneck, fields):
    assert theoretical_fields(blocks, dilations, bottleneck) == fields


@pytest.mark.parametrize(('blocks', 'dilations', 'bottleneck', 'fields'), [FIELDS[1], FIELDS[6]])
def test_theoretical_fields_are_those_of_the_network(blocks, dilations, bottleneck, fields):
    """Pixels that C4 depends on, by gradients that cannot cancel: positive weights, an average instead of the pool."""
    network = CRResNet(50 if bottleneck else 18, blocks, dilations, base_channels=2, out_indices=(2,)).double()
    network.eval()
    network.maxpool = torch.nn.AvgPool2d(3, 2, 1)
    for parameter in network.parameters():
        parameter.data.fill_(0.05)
    image = torch.ones(1, 3, 64, 512, dtype=torch.double, requires_grad=True)
    (out,) = network(image)
    out[:, :, 2, out.shape[3] // 2].sum().backward()
    assert int((image.grad.abs().sum((0, 1, 2)) > 0).sum()) == fields[2]


@pytest.mark.parametrize(('call', 'message'), [
    (lambda: StageSpace(budget=61), r'budget 61 has no allocation, the nearest budgets are 59 and 60'),
    (lambda: StageSpace(budget=5), r'budget 5 has no allocation, the nearest budgets are 6 and 7'),
    (lambda: StageSpace([(1, 2), (2, 1)]), r'choices of stage 2 must be ascending positive integers without repeats'),
    (lambda: StageSpace([(1, 1)]), r'choices of stage 1 must be .* got \(1, 1\)'),
    (lambda: StageSpace(weights=(1, 2)), r'weights must be 4 numbers, got \(1, 2\)'),
    (lambda: StageSpace(budget=16).encode((3, 8, 36, 3)), r'\(3, 8, 36, 3\) is not in the space'),
    (lambda: OpSpace(0), r'num_blocks must be an integer of at least 1, got 0'),
    (lambda: OpSpace(4, (2, 1)), r'choices of stage 1 must be ascending'),
    (lambda: CRResNet(20), r'depth must be one of \[18, 34, 50, 101, 152\], got 20'),
    (lambda: CRResNet(50, (1, 3, 12)), r'stage_blocks must be 4 positive integers, got \(1, 3, 12\)'),
    (lambda: CRResNet(50, (1, 3, 5, 7), (1, 2)), r'block_dilations must be 16 positive integers, one a block'),
    (lambda: CRResNet(50, dilations=(1, 1, 1, 2)), r'dilations are of whole stages, use block_dilations'),
    (lambda: CRMobileNetV2((1, 2, 3, 4)), r'CRMobileNetV2: stage_blocks must be 5 positive integers'),
])  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
