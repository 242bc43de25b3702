"""SpineNet against counts that reproduce the published checkpoints (docs/specs/spinenet.md)."""

import copy

import onnxruntime
import pytest
import torch
from mmengine.registry import init_default_scope

from mmlight.errors import InputError
from mmlight.measure.complexity import measure
from mmlight.models.backbones import SpineNet, SpineNetMBConv
from mmlight.models.backbones.spinenet import ARCHITECTURES
from mmlight.models.heads.efficientdet_head import EfficientDetHead

BACKBONES = {
    '49S': (9_089_215, 12_325_257_975, 640),
    '49S-ep256': (9_472_959, 12_777_840_375, 640),
    '49': (21_831_488, 28_261_990_400, 640),
    '96': (36_262_976, 119_054_270_464, 1024),
    '143': (60_247_616, 295_259_340_800, 1280),
    '143L': (100_796_257, 491_007_342_400, 1280),
    '190': (126_587_664, 620_983_084_800, 1280),
    'R0-SP53': (19_344_320, 37_750_374_400, 640),
    'R23-SP30': (19_798_976, 38_462_259_200, 640),
    'proxy': (1_169_696, 1_545_670_656, 512),
}
SHAPES = {
    (800, 1333): [(100, 167), (50, 84), (25, 42), (13, 21), (7, 11)],
    (640, 640): [(80, 80), (40, 40), (20, 20), (10, 10), (5, 5)],
    (333, 500): [(42, 63), (21, 32), (11, 16), (6, 8), (3, 4)],
    (224, 224): [(28, 28), (14, 14), (7, 7), (4, 4), (2, 2)],
    (130, 257): [(17, 33), (9, 17), (5, 9), (3, 5), (2, 3)],
    (64, 64): [(8, 8), (4, 4), (2, 2), (1, 1), (1, 1)],
}
every_shape = pytest.mark.parametrize(
    'shape', [pytest.param(shape, marks=[pytest.mark.long] if shape == (800, 1333) else []) for shape in SHAPES]
)


def small(**options):
    return SpineNet('proxy', **{'filter_scale': 0.1, 'endpoint_channels': 8, **options})


@pytest.mark.parametrize(
    'arch', [pytest.param(a, marks=[pytest.mark.long] if a in ('143L', '190') else []) for a in BACKBONES]
)
def test_size_and_cost(arch):
    parameters, macs, side = BACKBONES[arch]
    with torch.device('meta'):
        network = SpineNet(arch)
    found = measure(network, (side, side))
    assert (found.parameters, found.macs) == (parameters, macs)


def test_pool_rule_changes_no_count():
    found = measure(SpineNet('49', pool_rule='single').to('meta'), (640, 640))
    assert (found.parameters, found.macs) == BACKBONES['49'][:2]


@every_shape
@pytest.mark.parametrize('pool_rule', ['repeat', 'single'])
@pytest.mark.parametrize('training', [False, True])
def test_any_image_size(shape, pool_rule, training):
    network = small(pool_rule=pool_rule).train(training)
    with torch.no_grad():
        assert [tuple(x.shape[1:]) for x in network(torch.randn(2, 3, *shape))] == [
            (8, *size) for size in SHAPES[shape]
        ]


@pytest.mark.parametrize('arch', ARCHITECTURES)
def test_no_dead_parameter(arch):
    network = SpineNet(arch, filter_scale=0.1, block_repeats=1, endpoint_channels=8)
    sum(x.mean() for x in network(torch.randn(2, 3, 130, 257))).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(('levels', 'built'), [((3, 4, 5), 13), ((3,), 10), ((6, 7), 14), ((4, 6), 13)])
def test_levels_that_nobody_asks_for_are_not_built(levels, built):
    """Of SpineNet-49: 15 and 16 feed only themselves, 13 only itself, 11 only 14 as a leftover."""
    whole, part = small(drop_path_rate=0.2).eval(), small(drop_path_rate=0.2, out_levels=levels).eval()
    nodes = [(own, all_) for own, all_ in zip(part.blocks.nodes, whole.blocks.nodes, strict=True) if own is not None]
    assert len(nodes) == built
    assert all(own.block[1][0].drop_path.drop_prob == all_.block[1][0].drop_path.drop_prob for own, all_ in nodes)
    state = {name: value for name, value in whole.state_dict().items() if not name.startswith('endpoints')}
    missing, _ = part.load_state_dict(state, strict=False)
    assert all(name.startswith('endpoints') for name in missing)
    for i, level in enumerate(levels):
        part.endpoints[i].load_state_dict(whole.endpoints[level - 3].state_dict())
    image = torch.randn(2, 3, 130, 257)
    with torch.no_grad():
        assert all(map(torch.equal, part(image), [whole(image)[level - 3] for level in levels]))
    sum(x.mean() for x in part.train()(image)).backward()
    assert [name for name, p in part.named_parameters() if p.grad is None] == []


def test_a_stem_that_a_part_of_the_levels_does_not_need_is_not_built():
    network = small(blocks=[(3, 'bottleneck', [0], True), (4, 'bottleneck', [1], True)], out_levels=(3,))
    assert len(network.stem_blocks) == 1
    network(torch.randn(2, 3, 64, 64))[0].mean().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_stochastic_depth():
    network = small(drop_path_rate=0.2)
    rates = [node.block[1][0].drop_path.drop_prob for node in network.blocks.nodes]
    assert rates == pytest.approx([0.2 * (i + 1) / 15 for i in range(15)])
    network.eval()
    image = torch.randn(1, 3, 128, 128)
    assert all(map(torch.equal, network(image), network(image)))


def test_dropblock():
    layer = dict(type='mmdet.DropBlock', drop_prob=0.5, block_size=3, warmup_iters=1)
    network = small(dropblock=layer)
    image = torch.randn(1, 3, 512, 512)
    assert not torch.equal(network(image)[0], network(image)[0])
    network.eval()
    assert torch.equal(network(image)[0], network(image)[0])


def test_a_table_from_a_config():
    blocks = [(3, 'bottleneck', [0, 1]), (4, 'residual', [2]), (4, 'bottleneck', [2, 3], True),
              dict(output=True, inputs=[2, 4], kind='bottleneck', level=3)]  # fmt: skip
    network = small(blocks=blocks, out_levels=(3, 4)).eval()
    assert network.out_strides == (8, 16)
    assert [tuple(x.shape) for x in network(torch.randn(1, 3, 65, 65))] == [(1, 8, 9, 9), (1, 8, 5, 5)]


def test_frozen_stem():
    network = small(frozen_stages=0).train()
    assert not any(p.requires_grad for p in network.stem.parameters())
    assert not network.stem_blocks.training
    assert network.blocks.training
    assert all(p.requires_grad for p in network.endpoints.parameters())


@pytest.mark.long
@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('training', [False, True])
def test_compiles(shape, training):
    network = small().train(training)
    image = torch.randn(2, 3, *shape)
    state = copy.deepcopy(network.state_dict())
    with torch.no_grad():
        expected = network(image)
        network.load_state_dict(state)  # training moves the statistics
        torch.compiler.reset()
        compiled = torch.compile(network, backend='eager', fullgraph=True)(image)
    for own, other in zip(compiled, expected, strict=True):
        torch.testing.assert_close(own, other)


@every_shape
def test_onnx_runtime(shape, tmp_path):
    network = small().eval()
    image = torch.randn(1, 3, *shape)
    torch.onnx.export(network, (image,), tmp_path / 'spinenet.onnx', dynamo=False)
    session = onnxruntime.InferenceSession(tmp_path / 'spinenet.onnx', providers=['CPUExecutionProvider'])
    outputs = session.run(None, {session.get_inputs()[0].name: image.numpy()})
    with torch.no_grad():
        for own, other in zip(outputs, network(image), strict=True):
            torch.testing.assert_close(torch.from_numpy(own), other, rtol=1e-4, atol=3e-5 * float(other.abs().max()))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(arch='50'), r"arch must be one of \['49S', .*, got '50'"),
        (dict(out_levels=(2, 3, 4, 5)), r'out_levels asks for level 2, the table gives \[3, 4, 5, 6, 7\]'),
        (dict(filter_scale=0.01), 'filter_scale 0.01 with alpha 0.5 leaves a convolution without a channel'),
        (dict(pool_rule='max'), "pool_rule must be one of .'repeat', 'single'., got 'max'"),
        (dict(out_levels=(3, 3)), r'out_levels must be ascending levels, at least one, got \[3, 3\]'),
        (dict(endpoint_channels=0), 'endpoint_channels must be an integer of at least 1, got 0'),
        (dict(blocks=[(3, 'mbconv', [0, 1], True)], out_levels=(3,)), r'kinds .* got \[.mbconv.\]'),
        (dict(block_repeats=0), 'block_repeats must be an integer of at least 1, got 0'),
        (dict(block_repeats=1.5), 'block_repeats must be an integer of at least 1, got 1.5'),
        (dict(filter_scale='1'), "filter_scale must be a positive number, got '1'"),
        (dict(alpha=0), 'alpha must be a positive number, got 0'),
        (dict(drop_path_rate=1.0), 'drop_path_rate must be a number from 0 to below 1, got 1.0'),
        (dict(drop_path_rate=-0.1), 'drop_path_rate must be a number from 0 to below 1, got -0.1'),
        (dict(frozen_stages=3), r'frozen_stages must be within -1\.\.2, got 3'),
        (dict(frozen_stages=None), r'frozen_stages must be within -1\.\.2, got None'),
        (dict(arch=['49']), r"arch must be one of .* got \['49'\]"),
        (dict(out_levels=3), 'out_levels must be a list, got 3'),
        (dict(out_levels=(3, '4')), r"out_levels must be ascending levels, at least one, got \[3, '4'\]"),
        (dict(stem=(2, 3)), r'stem goes with blocks, got \(2, 3\) alone'),
        (dict(blocks=[], stem=2), 'stem must be a list, got 2'),
        (dict(blocks=[], stem=(3, 2)), r'stem must be ascending levels, at least one, got \[3, 2\]'),
        (dict(blocks=[], stem=(1, 2)), r'stem must not begin below level 2, got \[1, 2\]'),
        (dict(blocks=3), 'blocks must be a list, got 3'),
        (dict(blocks=[3]), r'block 2 must be a dict with level, kind, inputs and optionally output, .*, got 3'),
        (
            dict(blocks=[(3, 'bottleneck')]),
            r'block 2 must be a dict with level, kind, inputs and optionally output, or',
        ),
        (dict(blocks=[dict(level=3, kind='bottleneck', input=[0])]), r"block 2 must be .*, got .*'input': \[0\]"),
        (dict(blocks=[(3, 'bottleneck', 1)]), 'block 2: inputs must be a list, got 1'),
        (dict(blocks=[(3.0, 'bottleneck', [1])]), 'block 2: level must be of type int, got 3.0'),
        (dict(blocks=[(3, 'bottleneck', [1], 'no')]), "block 2: output must be of type bool, got 'no'"),
        (dict(blocks=[(3, 'bottleneck', [0, 2], True)]), r'block 2 \(level 3\): inputs must be earlier blocks'),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(InputError, match=message):
        SpineNet(**options)


@pytest.mark.parametrize(
    ('arch', 'side', 'parameters', 'macs'),
    [('49XS', 256, 0.873, 0.166), ('49S', 384, 1.031, 0.496), ('49', 384, 2.338, 0.981)],
)
def test_mobile_size_and_cost(arch, side, parameters, macs):
    """With the head of docs/specs/spinenet.md, "Mobile networks": four separable convolutions a branch, 91 classes."""
    init_default_scope('mmdet')
    backbone = SpineNetMBConv(arch)
    network = torch.nn.Sequential(
        backbone,
        EfficientDetHead(
            91,
            backbone.out_channels[0],
            4,
            anchor_generator=dict(
                type='AnchorGenerator',
                octave_base_scale=3,
                scales_per_octave=3,
                ratios=[1, 0.5, 2],
                strides=[8, 16, 32, 64, 128],
            ),
            loss_cls=dict(type='FocalLoss', use_sigmoid=True),
        ),
    )
    found = measure(network.to('meta'), (side, side))
    assert found.parameters / 1e6 == pytest.approx(parameters, abs=6e-4)
    assert found.macs / 1e9 == pytest.approx(macs, rel=4e-3)


@every_shape
def test_mobile_takes_any_image_size(shape):
    network = SpineNetMBConv('49XS').eval()
    with torch.no_grad():
        assert [tuple(x.shape[2:]) for x in network(torch.randn(1, 3, *shape))] == SHAPES[shape]


def test_mobile_stochastic_depth():
    network = SpineNetMBConv('49XS', drop_path_rate=0.2)
    rates = [node.block[1].drop_path.drop_prob for node in network.blocks.nodes]
    assert rates == pytest.approx([0.2 * (i + 1) / 16 for i in range(16)])
    image = torch.randn(4, 3, 128, 128)
    assert not all(map(torch.equal, network(image), network(image)))
    network.eval()
    assert torch.equal(network(image)[0], network(image)[0])
    with pytest.raises(InputError, match=r'SpineNetMBConv: drop_path_rate must be a number from 0 to below 1, got 2'):
        SpineNetMBConv(drop_path_rate=2)
    with pytest.raises(InputError, match=r'SpineNetMBConv: frozen_stages must be within -1\.\.2, got 7'):
        SpineNetMBConv(frozen_stages=7)


def test_mobile_has_no_dead_parameter():
    network = SpineNetMBConv('49XS')
    sum(x.mean() for x in network(torch.randn(2, 3, 130, 257))).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []
    with pytest.raises(InputError, match=r"arch must be one of \['49XS', .*, got '96'"):
        SpineNetMBConv('96')
