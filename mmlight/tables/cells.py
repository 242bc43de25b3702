"""NASNet's convolutional cells (arXiv 1707.07012) as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from mmlight.errors import InputError
from mmlight.tables.feature_graph import from_content

OPS = (
    'identity',
    'conv_1x3_3x1',
    'conv_1x7_7x1',
    'dilated_3x3',
    'avg_pool_3x3',
    'max_pool_3x3',
    'max_pool_5x5',
    'max_pool_7x7',
    'conv_1x1',
    'conv_3x3',
    'separable_3x3',
    'separable_5x5',
    'separable_7x7',
)
"""arXiv 1707.07012, Sec. 3.1."""

COMBINES = ('add', 'concat')


@dataclass(frozen=True)
class CellBlock:
    """Two hidden states, an operation on each, and how the results are combined.

    Attributes:
        inputs: Hidden states by index: 0 is the output of the cell before, 1 that of the one before it, 2 and above are
            the earlier blocks.
        ops: One of :data:`OPS` each.
        combine: One of :data:`COMBINES`.
    """

    inputs: tuple[int, int]
    ops: tuple[str, str]
    combine: str

    def __post_init__(self) -> None:
        for name in ('inputs', 'ops'):
            values = getattr(self, name)
            if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != 2:
                raise InputError(f'cells: {name} of a block must be two, got {values!r}')
            object.__setattr__(self, name, tuple(values))


@dataclass(frozen=True)
class Cells:
    """A normal cell, which keeps the size, and a reduction cell, which halves it.

    Raises:
        InputError: naming the block and the rule that it breaks.
    """

    normal: tuple[CellBlock, ...]
    reduction: tuple[CellBlock, ...]

    def __post_init__(self) -> None:
        for kind in ('normal', 'reduction'):
            given = getattr(self, kind)
            if not isinstance(given, Sequence) or isinstance(given, str):
                raise InputError(f'cells: the {kind} cell must be a list of blocks, got {given!r}')
            blocks = tuple(
                from_content(CellBlock, f'cells: block {index} of the {kind} cell', block)
                for index, block in enumerate(given)
            )
            object.__setattr__(self, kind, blocks)
            if not blocks:
                raise InputError(f'cells: the {kind} cell has no block')
            for index, block in enumerate(blocks):
                where = f'cells: block {index} of the {kind} cell'
                if not all(type(i) is int and 0 <= i < index + 2 for i in block.inputs):
                    raise InputError(f'{where}: must read two of the states 0 to {index + 1}, got {block.inputs}')
                if unknown := [op for op in block.ops if op not in OPS]:
                    raise InputError(f'{where}: unknown operation {unknown[0]!r}, known are {", ".join(OPS)}')
                if block.combine not in COMBINES:
                    raise InputError(f'{where}: combine must be one of {COMBINES}, got {block.combine!r}')

    @staticmethod
    def outputs(blocks: tuple[CellBlock, ...]) -> tuple[int, ...]:
        """The blocks' states that no block reads: concatenated they are what the cell returns."""
        read = {index for block in blocks for index in block.inputs}
        return tuple(index for index in range(2, len(blocks) + 2) if index not in read)

    def to_dict(self) -> dict:
        """As plain dicts and lists."""
        return {
            kind: [
                {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(block).items()}
                for block in blocks
            ]
            for kind, blocks in (('normal', self.normal), ('reduction', self.reduction))
        }


def _adds(*rows: tuple[int, str, int, str]) -> tuple[CellBlock, ...]:
    return tuple(CellBlock((a, b), (first, second), 'add') for a, first, b, second in rows)


# arXiv 1707.07012, Fig. 4. The authors' code also puts the older input into the normal cell's output; here what comes
# out is what no block reads, as in the text.
NASNET_A = Cells(
    normal=_adds(
        (0, 'separable_5x5', 1, 'separable_3x3'),
        (1, 'separable_5x5', 1, 'separable_3x3'),
        (0, 'avg_pool_3x3', 1, 'identity'),
        (1, 'avg_pool_3x3', 1, 'avg_pool_3x3'),
        (0, 'separable_3x3', 0, 'identity'),
    ),
    reduction=_adds(
        (0, 'separable_5x5', 1, 'separable_7x7'),
        (0, 'max_pool_3x3', 1, 'separable_7x7'),
        (0, 'avg_pool_3x3', 1, 'separable_5x5'),
        (3, 'identity', 2, 'avg_pool_3x3'),
        (2, 'separable_3x3', 0, 'max_pool_3x3'),
    ),
)
