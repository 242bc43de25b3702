"""NAS-FPN's space of merging cells (arXiv 1904.07392, Sec. 3.1)."""

from collections.abc import Sequence
from math import comb, factorial, prod
from typing import Any

from mmengine.config import Config

from mmlight.errors import InputError
from mmlight.nas.spaces.base import Decision, SearchSpace
from mmlight.registry import SPACES
from mmlight.tables import FeatureGraph, Node

LEVELS = (3, 4, 5, 6, 7)
OPS = ('sum', 'attention')
INTERMEDIATE_LEVELS = (4, 5, 6, 7)
"""Level 3 is left out of the intermediate cells to save computation."""


@SPACES.register_module()
class NASFPNSpace(SearchSpace):
    """Merging cells on levels 3 to 7: each chooses two features, a level and an operation; the last five are the
    outputs, in any order of their levels. With the published seven cells 28 decisions, 1.93e15 graphs.

    The architecture is a :class:`mmlight.tables.FeatureGraph`. A feature that nothing has read when the output of its
    level is made is added to it.

    Args:
        num_cells: Merging cells, the five outputs included.
    """

    part = 'neck'
    merges = OPS

    def __init__(self, num_cells: int = 7):
        if not isinstance(num_cells, int) or num_cells < len(LEVELS):
            raise InputError(f'NASFPNSpace: num_cells must be an integer of at least {len(LEVELS)}, got {num_cells!r}')
        self.num_cells = num_cells
        self.intermediate = num_cells - len(LEVELS)
        decisions = []
        for cell in range(num_cells):
            count = len(LEVELS) + cell
            anchors = (None,) * len(LEVELS) + tuple(4 * earlier + 3 for earlier in range(cell))
            levels = len(INTERMEDIATE_LEVELS if cell < self.intermediate else LEVELS)
            decisions += [
                Decision(f'cell {cell}, first input', count, anchors),
                Decision(f'cell {cell}, second input', count, anchors),
                Decision(f'cell {cell}, level', levels),
                Decision(f'cell {cell}, operation', len(OPS)),
            ]
        self.decisions = tuple(decisions)
        pairs = prod(comb(len(LEVELS) + cell, 2) for cell in range(num_cells))
        self.size = pairs * 2**num_cells * len(INTERMEDIATE_LEVELS) ** self.intermediate * factorial(len(LEVELS))

    def mask(self, prefix: Sequence[int]) -> list[bool]:
        cell, part = divmod(len(prefix), 4)
        legal = super().mask(prefix)
        if part == 1:
            legal[prefix[-1]] = False
        elif part == 2 and cell >= self.intermediate:
            for earlier in range(self.intermediate, cell):
                legal[prefix[4 * earlier + 2]] = False
        return legal

    def decode(self, choices: Sequence[int]) -> FeatureGraph:
        choices = self.check(choices)
        levels, nodes, read = list(LEVELS), [], set()
        for cell in range(self.num_cells):
            first, second, level, op = choices[4 * cell : 4 * cell + 4]
            inputs = tuple(sorted((first, second)))
            read |= set(inputs)
            leftovers: tuple[int, ...] = ()
            if cell < self.intermediate:
                own = INTERMEDIATE_LEVELS[level]
            else:
                own = LEVELS[level]
                leftovers = tuple(i for i, other in enumerate(levels) if other == own and i not in read)
                read |= set(leftovers)
            nodes.append(Node(own, inputs, OPS[op], leftovers=leftovers))
            levels.append(own)
        first_output = len(LEVELS) + self.intermediate
        outputs = sorted(range(first_output, len(levels)), key=lambda index: levels[index])
        return FeatureGraph(LEVELS, tuple(nodes), tuple(outputs))

    def encode(self, architecture: FeatureGraph) -> tuple[int, ...]:
        if architecture.inputs != LEVELS or len(architecture.nodes) != self.num_cells:
            raise InputError(
                f'NASFPNSpace: needs a graph of {self.num_cells} cells on input levels {LEVELS}, got '
                f'{len(architecture.nodes)} on {architecture.inputs}'
            )
        choices: list[int] = []
        for cell, node in enumerate(architecture.nodes):
            allowed = INTERMEDIATE_LEVELS if cell < self.intermediate else LEVELS
            if node.level not in allowed or node.merge not in OPS or len(node.inputs) != 2:
                raise InputError(
                    f'NASFPNSpace: cell {cell} must have two inputs, a level of {allowed} and one of {OPS}, got {node}'
                )
            choices += [*sorted(node.inputs), allowed.index(node.level), OPS.index(node.merge)]
        return self.check(choices)

    def to_dict(self, architecture: FeatureGraph) -> dict:
        return architecture.to_dict()

    def apply(self, architecture: FeatureGraph, config: Config) -> None:
        neck: Any = config.model.get('neck') or {}
        if neck.get('type') not in ('mmlight.NASFPN', 'mmlight.GraphFPN'):
            raise InputError(
                f'NASFPNSpace: model.neck must be a mmlight.NASFPN or mmlight.GraphFPN, got {neck.get("type")!r}'
            )
        neck.graph = self.to_dict(architecture)
