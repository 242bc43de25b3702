"""Scale-permuted networks (SpineNet, arXiv 1912.05027) as tables: blocks whose levels go up and down.

A table becomes a :class:`~mmlight.tables.FeatureGraph` whose inputs are the blocks of the stem. ``Node.block`` is the
kind of the block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from mmlight.errors import InputError
from mmlight.tables.feature_graph import FeatureGraph, Node, as_tuple, from_content, needed

KINDS = ('bottleneck', 'residual', 'mbconv')


@dataclass(frozen=True)
class Block:
    """A block of a scale-permuted network.

    Attributes:
        level: Its pyramid level.
        kind: One of :data:`KINDS`.
        inputs: One or two earlier blocks, by index; those of the stem come first.
        output: Whether the detector's head reads it.
    """

    level: int
    kind: str
    inputs: tuple[int, ...]
    output: bool = False


@dataclass(frozen=True)
class ScalePermuted:
    """A network as its table.

    Attributes:
        stem: Levels of the blocks of the stem, which follow one another.
        blocks: The scale-permuted blocks; also each as a dict of its attributes, or a list of them in their order.
        stem_kind: Kind of the stem's blocks.

    Raises:
        InputError: for an invalid stem or a block of the wrong type, which is named.
    """

    stem: tuple[int, ...]
    blocks: tuple[Block, ...]
    stem_kind: str = 'bottleneck'

    def __post_init__(self) -> None:
        stem = as_tuple('scale-permuted network: stem', self.stem)
        if not stem or not all(type(level) is int and level >= 0 for level in stem) or list(stem) != sorted(stem):
            raise InputError(f'scale-permuted network: stem must be ascending levels, at least one, got {list(stem)}')
        blocks = []
        for index, given in enumerate(as_tuple('scale-permuted network: blocks', self.blocks), len(stem)):
            where = f'scale-permuted network: block {index}'
            block = from_content(Block, where, given)
            for name, kind in (('level', int), ('kind', str), ('output', bool)):
                if type(getattr(block, name)) is not kind:
                    raise InputError(f'{where}: {name} must be of type {kind.__name__}, got {getattr(block, name)!r}')
            blocks.append(replace(block, inputs=as_tuple(f'{where}: inputs', block.inputs)))
        object.__setattr__(self, 'stem', stem)
        object.__setattr__(self, 'blocks', tuple(blocks))

    def graph(self, prune: bool = False) -> FeatureGraph:
        """The feature graph, leftovers added: an output block also takes the earlier blocks of its level and kind that
        nothing has read so far.

        Args:
            prune: Leave out blocks that nothing reads even then, also at the stem's end; without, they are an error.

        Raises:
            InputError: for an invalid table, naming the block and the rule that it breaks.
        """
        count = len(self.stem)
        kinds = [self.stem_kind] * count + [block.kind for block in self.blocks]
        levels = [*self.stem, *(block.level for block in self.blocks)]
        read = set(range(count - 1))  # by its successor in the stem
        nodes = []
        for index, block in enumerate(self.blocks, count):
            where = f'scale-permuted network: block {index} (level {block.level})'
            if block.kind not in KINDS:
                raise InputError(f'{where}: kind must be one of {", ".join(KINDS)}, got {block.kind!r}')
            if not 1 <= len(block.inputs) <= 2:
                raise InputError(f'{where}: must have one or two inputs, got {list(block.inputs)}')
            if not all(type(source) is int and 0 <= source < index for source in block.inputs):
                raise InputError(f'{where}: inputs must be earlier blocks, 0 to {index - 1}, got {list(block.inputs)}')
            read |= set(block.inputs)
            leftovers: tuple[int, ...] = ()
            if block.output:
                alike = (levels[i] == block.level and kinds[i] == block.kind for i in range(index))
                leftovers = tuple(i for i, fits in enumerate(alike) if fits and i not in read)
                read |= set(leftovers)
            nodes.append(Node(block.level, tuple(dict.fromkeys(block.inputs)), 'sum', block.kind, leftovers))
        outputs = [index for index, block in enumerate(self.blocks, count) if block.output]
        stem = self.stem
        if prune:
            stem, nodes, outputs = _prune(stem, nodes, outputs)
        levels = [*stem, *(node.level for node in nodes)]
        return FeatureGraph(stem, tuple(nodes), tuple(sorted(outputs, key=lambda index: levels[index])))


def _prune(stem: tuple[int, ...], nodes: list[Node], outputs: list[int]) -> tuple[tuple, list[Node], list[int]]:
    count = len(stem)
    alive = needed(nodes, count, outputs)
    stem = stem[: max((index + 1 for index in alive if index < count), default=count)]
    kept = [*range(len(stem)), *(index for index in range(count, count + len(nodes)) if index in alive)]
    new = {old: index for index, old in enumerate(kept)}
    pruned = [
        replace(
            nodes[old - count],
            inputs=tuple(new[source] for source in nodes[old - count].inputs),
            leftovers=tuple(new[source] for source in nodes[old - count].leftovers),
        )
        for old in kept[len(stem) :]
    ]
    return stem, pruned, [new[index] for index in outputs]


def _table(stem: tuple[int, ...], rows: tuple[tuple, ...], kind: str, num_outputs: int = 5) -> ScalePermuted:
    """A table whose last blocks are the outputs; a row is (level, inputs) or (level, inputs, kind)."""
    first_output = len(rows) - num_outputs
    blocks = (
        Block(row[0], row[2] if len(row) > 2 else kind, row[1], index >= first_output) for index, row in enumerate(rows)
    )
    return ScalePermuted(stem, tuple(blocks), kind)


# arXiv 1912.05027, Fig. 4d; tensorflow/tpu, modeling/architecture/spinenet.py
SPINENET_49 = _table(
    (2, 2),
    (
        (2, (0, 1)),
        (4, (0, 1), 'residual'),
        (3, (2, 3)),
        (4, (2, 4)),
        (6, (3, 5), 'residual'),
        (4, (3, 5)),
        (5, (6, 7), 'residual'),
        (7, (6, 8), 'residual'),
        (5, (8, 9)),
        (5, (8, 10)),
        (4, (5, 10)),
        (3, (4, 10)),
        (5, (7, 12)),
        (7, (5, 14)),
        (6, (12, 14)),
    ),
    'bottleneck',
)

# arXiv 1912.05027, Fig. 4c
R0_SP53 = _table(
    (2, 2),
    (
        (2, (0, 1)),
        (3, (0, 1)),
        (3, (2, 3)),
        (4, (2, 4)),
        (4, (3, 5)),
        (3, (5, 6)),
        (5, (4, 7)),
        (4, (4, 8)),
        (4, (8, 9)),
        (4, (8, 10)),
        (3, (4, 10)),
        (4, (6, 7)),
        (5, (8, 13)),
        (7, (6, 9)),
        (6, (7, 9)),
    ),
    'bottleneck',
)

# arXiv 1912.05027, Fig. 4b
R23_SP30 = _table(
    (2, 2, 3, 3, 4, 4, 5),
    (
        (4, (5, 6)),
        (4, (5, 6)),
        (4, (7, 8)),
        (3, (8, 9)),
        (2, (9, 10)),
        (4, (5, 9)),
        (3, (9, 10)),
        (5, (9, 10)),
        (7, (11, 13)),
        (6, (9, 14)),
    ),
    'bottleneck',
)

# Mobile networks (arXiv 1912.05027, App. A; tensorflow/tpu, spinenet_mbconv.py): SpineNet-49 with a stem on levels 1
# and 2.
SPINENET_MOBILE = _table(
    (1, 2),
    (
        (2, (0, 1)),
        (2, (1, 2)),
        (4, (1, 2)),
        (3, (3, 4)),
        (4, (3, 5)),
        (6, (4, 6)),
        (4, (4, 6)),
        (5, (7, 8)),
        (7, (7, 9)),
        (5, (9, 10)),
        (5, (9, 11)),
        (4, (6, 11)),
        (3, (5, 11)),
        (5, (8, 13)),
        (7, (6, 15)),
        (6, (13, 15)),
    ),
    'mbconv',
)

# Blocks of the R[N]-SP[M] family (arXiv 1912.05027, Table 2): {level: count} in the stem and the scale-permuted part.
# The connections of R35-SP18 and R14-SP39 are not published.
BLOCK_COUNTS = {
    'R35-SP18': ({2: 2, 3: 3, 4: 5, 5: 1}, {2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1}),
    'R23-SP30': ({2: 2, 3: 2, 4: 2, 5: 1}, {2: 1, 3: 2, 4: 4, 5: 1, 6: 1, 7: 1}),
    'R14-SP39': ({2: 1, 3: 1, 4: 1, 5: 1}, {2: 2, 3: 3, 4: 5, 5: 1, 6: 1, 7: 1}),
    'R0-SP53': ({2: 2}, {2: 1, 3: 4, 4: 6, 5: 2, 6: 1, 7: 1}),
    'SpineNet-49': ({2: 2}, {2: 1, 3: 2, 4: 4, 5: 4, 6: 2, 7: 2}),
}

# Fixed orders of R0-SP53's blocks (arXiv 1912.05027, Sec. 4.3), stem included; the last five are the outputs. The paper
# searched their connections and does not publish them.
HOURGLASS_ORDER = (2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 5, 7, 6, 5, 4, 3)
FISH_ORDER = (2, 2, 3, 3, 4, 4, 4, 5, 4, 4, 3, 2, 3, 4, 5, 6, 7)


def fixed_order(levels: tuple[int, ...]) -> ScalePermuted:
    """R0-SP53's blocks in a given order. Connections are chosen here: each block reads the one before it and the latest
    earlier one of its own level; if these are the same block or there is no other of its level, the one before that.

    Args:
        levels: Levels of all blocks; the first two are the stem.
    """
    rows = []
    for index in range(2, len(levels)):
        alike = [i for i in range(index - 1) if levels[i] == levels[index]]
        rows.append((levels[index], (alike[-1] if alike else index - 2, index - 1)))
    return _table(levels[:2], tuple(rows), 'bottleneck')


HOURGLASS = fixed_order(HOURGLASS_ORDER)
FISH = fixed_order(FISH_ORDER)


def without_short_range(table: ScalePermuted) -> ScalePermuted:
    """Every block keeps its farther input (arXiv 1912.05027, Sec. 4.3, "graph damage 1")."""
    return _one_input(table, lambda index, inputs: min(inputs))


def without_long_range(table: ScalePermuted) -> ScalePermuted:
    """Every block keeps its nearer input (arXiv 1912.05027, Sec. 4.3, "graph damage 2")."""
    return _one_input(table, lambda index, inputs: max(inputs))


def sequential(table: ScalePermuted) -> ScalePermuted:
    """Every block reads the one before it (arXiv 1912.05027, Sec. 4.3, "graph damage 3")."""
    return _one_input(table, lambda index, inputs: index - 1)


def _one_input(table: ScalePermuted, choose: Callable[[int, tuple[int, ...]], int]) -> ScalePermuted:
    blocks = enumerate(table.blocks, len(table.stem))
    return replace(table, blocks=tuple(replace(block, inputs=(choose(i, block.inputs),)) for i, block in blocks))
