"""Search spaces: published sizes, published networks, and that every sample is a network."""

import random

import pytest
from mmengine.config import Config

from benchmarks.sampler_problems import PlainSpace
from mmlight.errors import InputError
from mmlight.nas.spaces import BiFPNSpace, NASFPNSpace, NASNetSpace, SpineNetSpace
from mmlight.nas.spaces.bifpn import efficientdet
from mmlight.tables import drawing
from mmlight.tables.builders import nas_fpn
from mmlight.tables.cell_drawing import draw_cells
from mmlight.tables.cells import NASNET_A
from mmlight.tables.scale_permuted import FISH, HOURGLASS, R0_SP53, R23_SP30, SPINENET_49

SPACES = {
    'NAS-FPN': NASFPNSpace(),
    'NASNet': NASNetSpace(),
    'BiFPN': BiFPNSpace(),
    **{name: SpineNetSpace(name) for name in ('SpineNet', 'R35-SP18', 'R23-SP30', 'R14-SP39', 'R0-SP53', 'Hourglass')},
}
every_space = pytest.mark.parametrize('space', SPACES.values(), ids=SPACES)


@pytest.mark.parametrize(
    ('space', 'decisions', 'size'),
    [
        ('NAS-FPN', 28, 1_931_334_451_200_000),  # docs/specs/search.md: 1.93e15
        ('SpineNet', 70, None),
        ('R0-SP53', 45, None),
        ('NASNet', 50, None),
    ],
)
def test_decisions_and_size(space, decisions, size):
    assert len(SPACES[space].decisions) == decisions
    assert size is None or SPACES[space].size == size


@pytest.mark.parametrize(
    ('base', 'connections'), [('R35-SP18', 5.9e10), ('R23-SP30', 5.9e14), ('R14-SP39', 3.5e17), ('R0-SP53', 1.0625e18)]
)
def test_connections_within_the_window(base, connections):
    """docs/specs/search.md, "Spaces"."""
    orders = {'R35-SP18': 1, 'R23-SP30': 120, 'R14-SP39': 40320, 'R0-SP53': 3_628_800}[base] * 120
    assert SpineNetSpace(base).size / orders == pytest.approx(connections, rel=2e-2)


def test_adjustments():
    """docs/specs/search.md: 4^10 levels, 2^15 kinds."""
    assert SpineNetSpace('SpineNet').size == SpineNetSpace('R0-SP53').size * 1_048_576 * 32_768


@pytest.mark.parametrize(
    ('space', 'network'),
    [
        ('NAS-FPN', nas_fpn()),
        ('SpineNet', SPINENET_49),
        ('R0-SP53', R0_SP53),
        ('R23-SP30', R23_SP30),
        ('BiFPN', efficientdet()),
        ('NASNet', NASNET_A),
    ],
)
def test_published_networks_decode_to_themselves(space, network):
    space = SPACES[space]
    assert space.decode(space.encode(network)) == network


@pytest.mark.parametrize(('base', 'network'), [('Hourglass', HOURGLASS), ('Fish', FISH)])
def test_fixed_orders(base, network):
    space = SpineNetSpace(base)
    for block, decoded in zip(network.blocks, space.decode(space.sample(random.Random(0))).blocks, strict=True):
        assert (decoded.level, decoded.output) == (block.level, block.output)


@every_space
def test_samples(space):
    """Legal, decodable, and stable when encoded again."""
    rng = random.Random(0)
    for _ in range(150):
        choices = space.sample(rng)
        assert space.check(choices) == choices
        network = space.decode(choices)
        assert space.decode(space.encode(network)) == network
        assert space.key(choices) == space.key(space.encode(network))


@pytest.mark.long
@every_space
def test_ten_thousand_samples(space):
    rng = random.Random(1)
    for _ in range(10_000):
        choices = space.sample(rng)
        assert all(space.mask(choices[:step])[choice] for step, choice in enumerate(choices))
        network = space.decode(choices)
        assert space.decode(space.encode(network)) == network


def test_every_sampled_graph_can_be_drawn(tmp_path):
    rng = random.Random(2)
    graphs = [SPACES['NAS-FPN'].decode(SPACES['NAS-FPN'].sample(rng))]
    graphs.append(SPACES['SpineNet'].decode(SPACES['SpineNet'].sample(rng)).graph(prune=True))
    graphs.append(SPACES['BiFPN'].decode(SPACES['BiFPN'].sample(rng)).graph)
    for graph in graphs:
        figure = drawing.draw(graph)
        figure.savefig(tmp_path / 'graph.png')
    cells = {title: SPACES['NASNet'].decode(SPACES['NASNet'].sample(rng)) for title in 'ab'}
    figure = draw_cells(cells, tmp_path / 'cells.png')
    for kind, axes in zip(('normal', 'reduction') * 2, figure.axes, strict=True):
        blocks = getattr(cells['a' if axes in figure.axes[:2] else 'b'], kind)
        texts = [text.get_text() for text in axes.texts]
        assert sorted(op.replace('_', ' ') for block in blocks for op in block.ops) == sorted(texts[7:])
        assert [text.partition('\n')[2] for text in texts[2:7]] == [block.combine for block in blocks]
    with pytest.raises(InputError, match='no cells were given'):
        draw_cells({})


def leftovers(network):
    """{output: the unread blocks that join it}, straight from the rule of docs/specs/spinenet.md."""
    everything = [(level, network.stem_kind) for level in network.stem]
    everything += [(block.level, block.kind) for block in network.blocks]
    read, found = set(range(len(network.stem) - 1)), {}
    for index, block in enumerate(network.blocks, len(network.stem)):
        read.update(block.inputs)
        if block.output:
            found[index] = tuple(
                i for i in range(index) if i not in read and everything[i] == (block.level, block.kind)
            )
            read.update(found[index])
    return {output: joined for output, joined in found.items() if joined}


@pytest.mark.parametrize('base', ['SpineNet', 'R0-SP53', 'R14-SP39'])
def test_leftovers_of_random_networks(base):
    """Those of a whole network (none is dead) and, where some are, the number of outputs that have any."""
    rng, whole = random.Random(3), 0
    for _ in range(200):
        network = SPACES[base].decode(SPACES[base].sample(rng))
        expected, graph = leftovers(network), network.graph(prune=True)
        if len(graph.nodes) == len(network.blocks):
            whole += 1
            nodes = enumerate(graph.nodes, len(graph.inputs))
            assert {index: node.leftovers for index, node in nodes if node.leftovers} == expected
        for node in graph.nodes:
            kinds = [network.stem_kind] * len(graph.inputs) + [other.block for other in graph.nodes]
            levels = [*graph.inputs, *(other.level for other in graph.nodes)]
            assert {(levels[i], kinds[i]) for i in node.leftovers} <= {(node.level, node.block)}
    assert whole > 5


def test_rejecting_dead_blocks():
    space, other = SpineNetSpace('R0-SP53', dead_policy='reject'), SpineNetSpace('R0-SP53')
    rng = random.Random(0)
    outcomes = set()
    for _ in range(100):
        choices = other.sample(rng)
        dead = len(other.decode(choices).graph(prune=True).nodes) < 15
        try:
            space.decode(choices)
            rejected = False
        except InputError as error:
            rejected = 'is unused' in str(error)
        assert rejected == dead
        outcomes.add(dead)
    assert outcomes == {True, False}


def test_the_order_of_a_block_s_operations_makes_no_other_network():
    space = SPACES['NASNet']
    first = space.sample(random.Random(0))
    a, b, op_a, op_b = first[:4]
    assert space.key((b, a, op_b, op_a, *first[4:])) == space.key(first)
    assert space.key((b, a, op_a, (op_b + 1) % 13, *first[4:])) != space.key(first)


def test_permutation_mask():
    space = PlainSpace(4, 4, permutation=True)
    assert space.mask([2, 0]) == [False, True, False, True]


def test_config():
    config = Config(dict(model=dict(neck=dict(type='mmlight.NASFPN', in_channels=[8, 8, 8]))))
    SPACES['NAS-FPN'].apply(nas_fpn(), config)
    assert config.model.neck.graph == nas_fpn().to_dict()
    config = Config(dict(model=dict(backbone=dict(type='mmlight.SpineNet'))))
    SPACES['SpineNet'].apply(SPINENET_49, config)
    assert config.model.backbone.blocks[1] == [4, 'residual', [0, 1], False]
    # five blocks that nothing reads, as wide as the first reduction cell times 1, 2, 4, 8
    config = Config(dict(model=dict(backbone=dict(type='mmlight.NASNet', channels=8), neck=dict(in_channels=None))))
    SPACES['NASNet'].apply(NASNET_A, config)
    assert config.model.neck.in_channels == [80, 160, 320]
    config = Config(dict(model=dict(backbone=dict(type='mmlight.SpineNet'))))
    with pytest.raises(InputError, match=r'model.neck must be a mmlight.NASFPN or mmlight.GraphFPN, got None'):
        SPACES['NAS-FPN'].apply(nas_fpn(), config)


@pytest.mark.parametrize(
    ('call', 'message'),
    [
        (lambda: SpineNetSpace('R10'), r"base must be one of \['SpineNet', .*, got 'R10'"),
        (lambda: SpineNetSpace(dead_policy='keep'), "dead_policy must be 'prune' or 'reject', got 'keep'"),
        (lambda: NASFPNSpace(4), 'num_cells must be an integer of at least 5, got 4'),
        (lambda: SPACES['NAS-FPN'].decode([0] * 27), 'needs 28 decisions, got 27'),
        (
            lambda: SPACES['NAS-FPN'].decode([0] * 28),
            r'decision 1 \(cell 0, second input\) must be one of \[1, 2, 3, 4',
        ),
        (lambda: SPACES['SpineNet'].encode(R23_SP30), r'SpineNet has the stem \(2, 2\) and 15 blocks'),
        (lambda: SPACES['R0-SP53'].encode(SPINENET_49), r'levels \[2, 4, .*\] cannot be made of \[2, 3, 3'),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
