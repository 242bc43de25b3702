"""NASNet's space of convolutional cells (arXiv 1707.07012, Sec. 3.1)."""

import os
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from mmengine.config import Config

from mmlight import checks
from mmlight.errors import InputError
from mmlight.nas.spaces.base import Decision, SearchSpace
from mmlight.registry import SPACES
from mmlight.tables.cell_drawing import draw_cells
from mmlight.tables.cells import COMBINES, OPS, CellBlock, Cells


@SPACES.register_module()
class NASNetSpace(SearchSpace):
    """A normal and a reduction cell of ``num_blocks`` blocks: two hidden states, an operation on each, and the
    combination, five decisions a block, 50 in all for the published five blocks.

    The architecture is a :class:`mmlight.tables.cells.Cells`.

    Args:
        num_blocks: Blocks of a cell.
    """

    def __init__(self, num_blocks: int = 5):
        checks.positive_int('NASNetSpace', num_blocks=num_blocks)
        self.num_blocks = num_blocks
        decisions = []
        for number, cell in enumerate(('normal', 'reduction')):
            first = 5 * num_blocks * number
            for block in range(num_blocks):
                anchors = (None, None, *(first + 5 * earlier + 4 for earlier in range(block)))
                decisions += [Decision(f'{cell} block {block}, input {side}', block + 2, anchors) for side in 'AB']
                decisions += [Decision(f'{cell} block {block}, operation {side}', len(OPS)) for side in 'AB']
                decisions.append(Decision(f'{cell} block {block}, combination', len(COMBINES)))
        self.decisions = tuple(decisions)
        self.size = prod((block + 2) ** 2 * len(OPS) ** 2 * len(COMBINES) for block in range(num_blocks)) ** 2

    def decode(self, choices: Sequence[int]) -> Cells:
        choices = self.check(choices)
        blocks = [
            CellBlock((a, b), (OPS[op_a], OPS[op_b]), COMBINES[combine])
            for a, b, op_a, op_b, combine in (choices[i : i + 5] for i in range(0, len(choices), 5))
        ]
        return Cells(tuple(blocks[: self.num_blocks]), tuple(blocks[self.num_blocks :]))

    def encode(self, architecture: Cells) -> tuple[int, ...]:
        choices: list[int] = []
        for kind, blocks in (('normal', architecture.normal), ('reduction', architecture.reduction)):
            if len(blocks) != self.num_blocks:
                raise InputError(f'NASNetSpace: the {kind} cell must have {self.num_blocks} blocks, got {len(blocks)}')
            for block in blocks:
                choices += [*block.inputs, *map(OPS.index, block.ops), COMBINES.index(block.combine)]
        return self.check(choices)

    def to_dict(self, architecture: Cells) -> dict:
        # which of a block's two operations is called the first makes no difference
        cells = architecture.to_dict()
        for block in (*cells['normal'], *cells['reduction']):
            pairs = sorted(zip(block['inputs'], block['ops'], strict=True))
            block['inputs'], block['ops'] = ([pair[i] for pair in pairs] for i in (0, 1))
        return cells

    def draw(self, networks: Mapping[str, Cells], path: str | os.PathLike) -> bool:
        if networks:
            draw_cells(networks, path)
        return bool(networks)

    def apply(self, architecture: Cells, config: Config) -> None:
        backbone = config.model.backbone
        if backbone.get('type') != 'mmlight.NASNet':
            raise InputError(f'NASNetSpace: model.backbone must be a mmlight.NASNet, got {backbone.get("type")!r}')
        backbone.cells = self.to_dict(architecture)
        neck: Any = config.model.get('neck') or {}
        if 'in_channels' in neck:  # a cell is as wide as it has blocks that nothing reads
            width = backbone.get('channels', 32) * len(Cells.outputs(architecture.normal))
            neck.in_channels = [width * 2**stage for stage in backbone.get('out_indices', (1, 2, 3))]
