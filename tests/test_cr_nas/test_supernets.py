"""Supernets: their size, that a path is the network that is cut out of them, and that others stay as they are."""

import random
from collections import Counter

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import load_state_dict

from mmlight.errors import InputError
from mmlight.measure.complexity import measure
from mmlight.models.backbones.cr_supernets import (
    CROpSuperMobileNetV2,
    CROpSuperResNet,
    CROpSuperResNeXt,
    CRResNet,
    CRStageSuperMobileNetV2,
    CRStageSuperResNet,
    CRStageSuperResNeXt,
)
from mmlight.nas.one_shot.result import StageCosts
from mmlight.registry import MODELS

SMALL = dict(choices=((1, 2, 3), (1, 2, 3), (2, 3), (2, 3, 4)), base_channels=8, stem_channels=8)
MOBILE = ((1, 2), (1, 2), (3, 4), (2, 3), (2, 3))
SUPERNETS = {
    'stage, basic': (lambda: CRStageSuperResNet(18, **SMALL), (1, 3, 2, 4)),
    'stage, bottleneck': (lambda: CRStageSuperResNet(50, **SMALL), (3, 1, 3, 2)),
    'stage, prefix': (lambda: CRStageSuperResNet(50, share='prefix', **SMALL), (2, 1, 3, 3)),
    'stage, ResNeXt': (lambda: CRStageSuperResNeXt(50, groups=4, base_width=4, **SMALL), (1, 2, 3, 2)),
    'stage, MobileNetV2': (lambda: CRStageSuperMobileNetV2(MOBILE, widen_factor=0.25), (1, 2, 4, 3, 2)),
    'stage, MobileNetV2, prefix': (
        lambda: CRStageSuperMobileNetV2(MOBILE, 'prefix', widen_factor=0.25), (1, 2, 4, 3, 2)
    ),
    'operation, basic': (lambda: CROpSuperResNet(18, (1, 1, 2, 1), base_channels=8), (1, 3, 2, 3, 2)),
    'operation, bottleneck': (lambda: CROpSuperResNet(50, (1, 1, 2, 1), base_channels=8), (1, 3, 2, 3, 2)),
    'operation, one kernel': (
        lambda: CROpSuperResNet(50, (1, 1, 2, 1), share_kernel=True, base_channels=8), (1, 3, 2, 3, 2)
    ),
    'operation, ResNeXt': (
        lambda: CROpSuperResNeXt(50, (1, 1, 2, 1), groups=4, base_channels=16), (1, 3, 2, 3, 2)
    ),
    'operation, MobileNetV2': (lambda: CROpSuperMobileNetV2((1, 1, 2, 1, 1), widen_factor=0.25), (1, 3, 2, 3, 2, 1)),
}  # fmt: skip
every_supernet = pytest.mark.parametrize(('build', 'path'), SUPERNETS.values(), ids=SUPERNETS)


def shaken(network):
    """Random batch norms too, so that nothing is equal by chance."""
    for name, value in network.state_dict().items():
        if value.dtype.is_floating_point:
            value.copy_(torch.rand_like(value) * 0.4 + (0.8 if 'var' in name or 'bn' in name else -0.2))
    network.eval()
    return network


@every_supernet
def test_a_path_is_the_network_cut_out(build, path):
    init_default_scope('mmdet')
    torch.manual_seed(0)
    supernet = shaken(build())
    before = supernet.path
    config, weights = supernet.extract(path)
    assert supernet.path == before
    network = MODELS.build(config)
    network.load_state_dict(weights, strict=True)
    network.eval()
    supernet.set_path(path)
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        outs, others = supernet(image), network(image)
    assert len(outs) == 4
    for out, other in zip(outs, others, strict=True):
        torch.testing.assert_close(out, other, rtol=0, atol=1e-6)
    supernet.set_path(before)
    assert not torch.equal(supernet(image)[-1], outs[-1])


@every_supernet
def test_a_step_on_one_path_leaves_the_others(build, path):
    torch.manual_seed(0)
    supernet = build()
    supernet.train()
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-2)

    def step(path):
        supernet.set_path(path)
        optimizer.zero_grad()
        sum(out.square().mean() for out in supernet(torch.randn(2, 3, 64, 64))).backward()
        optimizer.step()

    other = tuple(
        next(c for c in allowed if c != choice) for choice, allowed in zip(path, supernet.choices, strict=True)
    )
    step(other)  # gives these a momentum
    step(path)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    used = {name for name, p in supernet.named_parameters() if p.grad is not None}
    optimizer.zero_grad()
    step(path)
    assert used == {name for name, p in supernet.named_parameters() if p.grad is not None}
    after = supernet.state_dict()
    parameters = dict(supernet.named_parameters())
    unused = parameters.keys() - used
    assert unused
    assert all(torch.equal(before[name], after[name]) for name in unused)
    assert all(not torch.equal(before[name], after[name]) for name in used)
    buffers = [n for n in before if n.endswith('running_mean') and n.replace('running_mean', 'weight') in unused]
    assert all(torch.equal(before[name], after[name]) for name in buffers)


@pytest.mark.parametrize(
    ('share', 'base', 'millions'),
    [('branch', 32, 138.1), ('prefix', 32, 26.9), ('branch', 64, 551.2), ('prefix', 64, 107.1)],
)
def test_size(share, base, millions):
    with torch.device('meta'):
        network = CRStageSuperResNet(50, share=share, base_channels=base)
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


@pytest.mark.parametrize(('blocks', 'millions'), [((1, 3, 5, 7), 39.9), ((2, 3, 17, 11), 73.0)])
def test_size_of_the_alternatives(blocks, millions):  # 2.5
    with torch.device('meta'):
        networks = [network(50, blocks) for network in (CRResNet, CROpSuperResNet)]
    one, all_three = (sum(p.numel() for p in network.parameters()) for network in networks)
    assert (all_three - one) / 1e6 == pytest.approx(millions, abs=0.1)


def test_uniform_sampling():
    with torch.device('meta'):
        supernet = CRStageSuperResNet(50, base_channels=4)
    paths = [supernet.sample_path(random.Random(f'0 {step}')) for step in range(10_000)]
    for stage, allowed in zip(zip(*paths, strict=True), supernet.choices, strict=True):
        found = Counter(stage)
        assert found.keys() == set(allowed)
        assert all(900 <= number <= 1100 for number in found.values())
    assert sum(map(sum, paths)) / 10_000 == pytest.approx(30.7, abs=0.3)  # 2.5


@pytest.mark.parametrize(
    ('supernet', 'options', 'path'),
    [
        (CRStageSuperResNet, dict(depth=50, **SMALL), (3, 1, 2, 4)),
        pytest.param(CRStageSuperMobileNetV2, dict(widen_factor=0.25), (2, 5, 3, 6, 4), marks=pytest.mark.long),
    ],
)
def test_costs_of_a_path(supernet, options, path):
    with torch.device('meta'):
        network = supernet(**options)
        alone = MODELS.build(network.backbone_config(path))
    found = measure(alone, (96, 128))
    cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=[dict(type='Resize', scale=(120, 90))]))))
    assert StageCosts(network, cfg)(path) == (found.parameters, found.macs)


@pytest.mark.parametrize('load', [torch.nn.Module.load_state_dict, load_state_dict])
def test_weights_of_a_plain_network_go_to_every_dilation(load):
    plain = shaken(CRResNet(18, (1, 1, 1, 2), base_channels=8))
    supernet = CROpSuperResNet(18, (1, 1, 1, 2), base_channels=8)
    load(supernet, plain.state_dict(), strict=True)
    supernet.eval()
    image = torch.randn(1, 3, 64, 64)
    for dilations in ((1,) * 5, (3, 1, 2, 2, 3)):
        network = CRResNet(18, (1, 1, 1, 2), dilations, base_channels=8)
        network.load_state_dict(plain.state_dict())
        network.eval()
        supernet.set_path(dilations)
        torch.testing.assert_close(supernet(image), network(image), rtol=0, atol=1e-6)


def test_first_path():
    assert CRStageSuperResNet(18, **SMALL).path == (2, 2, 2, 2)
    assert CRStageSuperResNet(50, **SMALL).path == (1, 1, 2, 2)  # (3, 4, 6, 3) is not in there
    assert CRStageSuperResNet(18, path=(3, 1, 2, 2), **SMALL).anchor == (3, 1, 2, 2)


def test_zero_initialised_residuals():
    supernet = CRStageSuperResNet(18, **SMALL)
    supernet.init_weights()
    assert all(block.bn2.weight.abs().sum() == 0 for block in supernet.layer1['3'])
    supernet = CROpSuperResNet(18, (1, 1, 1, 1), base_channels=8)
    supernet.init_weights()
    assert all(norm.weight.abs().sum() == 0 for block in supernet.blocks() for norm in block.bn2.values())


@pytest.mark.parametrize(('call', 'message'), [
    (lambda: CRStageSuperResNet(18, choices=((1,), (2, 1), (1,), (1,))), r'choices of stage 2 .* ascending'),
    (lambda: CRStageSuperResNet(18, choices=((1,), (1,))), r'choices must be of 4 stages, got 2'),
    (lambda: CRStageSuperResNet(18, share='all'), r"share must be one of .'branch', 'prefix'., got 'all'"),
    (lambda: CRStageSuperResNet(20), r'depth must be one of .18, 34, 50, 101, 152., got 20'),
    (lambda: CRStageSuperResNet(18, with_cp=True), r'with_cp must be False, got True: it recomputes with another path'),
    (lambda: CROpSuperResNet(18, norm_eval=True), r'norm_eval must be False, got True'),
    (lambda: CROpSuperResNet(18, frozen_stages=1), r'frozen_stages must be -1, got 1'),
    (lambda: CROpSuperResNet(18, (1, 1, 1, 1)).set_path((1, 1, 4, 1)), r'block 3 must be one of \(1, 2, 3\)'),
    (lambda: CRStageSuperResNet(18, **SMALL).set_path((1, 1)), r'a path needs 4 entries, one a stage, got \(1, 1\)'),
])  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
