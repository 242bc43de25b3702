"""Tables of scale-permuted networks against arXiv 1912.05027 (docs/specs/spinenet.md)."""

import re
from collections import Counter
from dataclasses import replace

import pytest

from mmlight.errors import InputError
from mmlight.tables.scale_permuted import (
    BLOCK_COUNTS,
    FISH_ORDER,
    HOURGLASS_ORDER,
    R0_SP53,
    R23_SP30,
    SPINENET_49,
    SPINENET_MOBILE,
    Block,
    ScalePermuted,
    fixed_order,
    sequential,
    without_long_range,
    without_short_range,
)

PUBLISHED = {'SpineNet-49': SPINENET_49, 'R0-SP53': R0_SP53, 'R23-SP30': R23_SP30, 'mobile': SPINENET_MOBILE}


@pytest.mark.parametrize('name', PUBLISHED)
def test_structure(name):
    table = PUBLISHED[name]
    stem, count = len(table.stem), len(table.blocks)
    assert [block.output for block in table.blocks] == [False] * (count - 5) + [True] * 5
    assert table.graph().output_levels == (3, 4, 5, 6, 7)
    for index, block in enumerate(table.blocks, stem):
        assert len(block.inputs) == 2
        if not block.output and name != 'mobile':
            assert min(block.inputs) >= index - 5, 'intermediate blocks read the last five'


@pytest.mark.parametrize(
    ('name', 'leftovers'),
    [('SpineNet-49', {14: (11,)}), ('R0-SP53', {13: (11,)}), ('R23-SP30', {}), ('mobile', {15: (12,)})],
)
def test_leftovers(name, leftovers):
    graph = PUBLISHED[name].graph()
    nodes = enumerate(graph.nodes, len(graph.inputs))
    assert {index: node.leftovers for index, node in nodes if node.leftovers} == leftovers


def test_leftovers_are_of_the_output_s_level_and_kind():
    """Block 11 of SpineNet-49, which nothing reads, joins output 14 only where it can be added: same level, same
    channels, hence the same kind of block. As a residual block it has a quarter of the channels and is dead."""
    as_residual = changed(11, kind='residual')
    with pytest.raises(InputError, match='is unused'):
        as_residual.graph()
    pruned = as_residual.graph(prune=True)
    assert len(pruned.nodes) == 14
    assert all(node.leftovers == () for node in pruned.nodes)
    joined = changed(14, kind='residual')
    assert [node.leftovers for node in replace(joined, blocks=(*changed(11, kind='residual').blocks[:12],
            *joined.blocks[12:])).graph().nodes if node.leftovers] == [(11,)]  # fmt: skip


@pytest.mark.parametrize('name', ['SpineNet-49', 'R0-SP53', 'R23-SP30'])
def test_block_counts(name):
    stem, permuted = BLOCK_COUNTS[name]
    assert Counter(PUBLISHED[name].stem) == stem
    assert Counter(block.level for block in PUBLISHED[name].blocks) == permuted


@pytest.mark.parametrize('name', [name for name in BLOCK_COUNTS if name.startswith('R')])
def test_the_family_permutes_the_blocks_of_resnet_50(name):
    """R[N]-SP[M]: N and M convolutions, the first one and the classifier among the N, of bottlenecks of three; one of
    the three blocks of level 5 became one of level 6 and one of level 7 (docs/specs/spinenet.md)."""
    stem, permuted = BLOCK_COUNTS[name]
    n, m = map(int, re.findall(r'\d+', name))
    assert 3 * sum(permuted.values()) == (m if n else m - 8)  # R0 has its stem counted in M
    assert n in (0, 3 * sum(stem.values()) + 2)
    assert Counter(stem) + Counter(permuted) == {2: 3, 3: 4, 4: 6, 5: 2, 6: 1, 7: 1}


def test_layers():
    """13 bottlenecks of 3 convolutions, 4 residual blocks of 2, stem convolution and classifier make 49."""
    kinds = Counter([SPINENET_49.stem_kind] * 2 + [block.kind for block in SPINENET_49.blocks])
    assert kinds == {'bottleneck': 13, 'residual': 4}
    assert 3 * kinds['bottleneck'] + 2 * kinds['residual'] + 2 == 49


def test_mobile_is_spinenet_49_with_another_stem():
    shifted = {0: 1, 1: 2} | {old: old + 1 for old in range(2, 17)}
    for old, new in zip(SPINENET_49.blocks, SPINENET_MOBILE.blocks[1:], strict=True):
        assert (new.level, new.inputs) == (old.level, tuple(shifted[i] for i in old.inputs))


@pytest.mark.parametrize('order', [HOURGLASS_ORDER, FISH_ORDER])
def test_fixed_orders_permute_the_blocks_of_r0_sp53(order):
    assert Counter(order) == Counter(R0_SP53.stem) + Counter(block.level for block in R0_SP53.blocks)
    assert fixed_order(order).graph().output_levels == (3, 4, 5, 6, 7)


def test_damages():
    for index, block in enumerate(R0_SP53.blocks):
        assert without_short_range(R0_SP53).blocks[index].inputs == (min(block.inputs),)
        assert without_long_range(R0_SP53).blocks[index].inputs == (max(block.inputs),)
        assert sequential(R0_SP53).blocks[index].inputs == (index + 1,)
    # without its readers a block of level 5 is dead: it can be added to no output of its level
    assert len(without_long_range(R0_SP53).graph(prune=True).nodes) == 14
    with pytest.raises(InputError, match='is unused'):
        without_long_range(R0_SP53).graph()


def changed(index, **values):
    blocks = list(SPINENET_49.blocks)
    blocks[index - 2] = replace(blocks[index - 2], **values)
    return replace(SPINENET_49, blocks=tuple(blocks))


@pytest.mark.parametrize(
    ('table', 'message'),
    [
        (changed(5, inputs=(2, 5)), r'block 5 \(level 4\): inputs must be earlier blocks, 0 to 4, got \[2, 5\]'),
        (changed(5, inputs=()), r'block 5 \(level 4\): must have one or two inputs, got \[\]'),
        (changed(5, kind='dense'), r"block 5 \(level 4\): kind must be one of bottleneck, .*, got 'dense'"),
        (changed(13, level=4), 'level 4 comes out twice'),
        (changed(12, output=False), 'no feature of level 4 comes out'),
        (changed(6, level=8), r'level 8\): its level is outside the range 2 to 7'),
        (replace(SPINENET_49, blocks=(Block(3, 'bottleneck', (0, 2), True),)), 'earlier blocks, 0 to 1'),
    ],
)
def test_what_is_wrong_is_named(table, message):
    with pytest.raises(InputError, match=message):
        table.graph()


def test_a_table_of_dicts_is_read_by_its_keys():
    blocks = [dict(output=block.output, inputs=list(block.inputs), kind=block.kind, level=block.level)
              for block in SPINENET_49.blocks]  # fmt: skip
    assert ScalePermuted([2, 2], blocks) == SPINENET_49
