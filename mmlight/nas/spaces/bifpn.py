"""A space around BiFPN: free edges, fusion, depth and width (compound scaling as a search; EfficientDet, arXiv
1911.09070, Sec. 3.2 and 4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from mmengine.config import Config

from mmlight.errors import InputError
from mmlight.nas.spaces.base import Decision, SearchSpace
from mmlight.registry import SPACES
from mmlight.tables import FeatureGraph, Node
from mmlight.tables.builders import bifpn

LEVELS = (3, 4, 5, 6, 7)
FUSIONS = ('fast', 'softmax', 'sum', 'unbounded')
NUM_CELLS = (1, 2, 3, 4, 5, 6, 7, 8)
CHANNELS = (32, 48, 64, 88, 112, 160, 224, 288, 384)
"""EfficientDet-D0 to D7 have 64 to 384 channels and 3 to 8 cells."""

PATHS = (6, 5, 4, 3, 4, 5, 6, 7)
"""Levels of BiFPN's nodes: top-down, then bottom-up. Each reads the last feature of its level and that of the level it
comes from."""


@dataclass(frozen=True)
class Pyramid:
    """A graph, how often it is repeated, and its width."""

    graph: FeatureGraph
    num_cells: int
    channels: int


@SPACES.register_module()
class BiFPNSpace(SearchSpace):
    """BiFPN's eight nodes, each with one further edge from any earlier feature or none; one fusion; cells; width.

    The architecture is a :class:`Pyramid`; EfficientDet's BiFPN is one of them.

    Args:
        fusions: To choose from.
        num_cells: To choose from, ascending.
        channels: To choose from, ascending.
    """

    part = 'neck'

    def __init__(
        self,
        fusions: Sequence[str] = FUSIONS,
        num_cells: Sequence[int] = NUM_CELLS,
        channels: Sequence[int] = CHANNELS,
    ) -> None:
        for name, values in (('num_cells', num_cells), ('channels', channels)):
            if not values or list(values) != sorted(set(values)) or not all(type(v) is int and v > 0 for v in values):
                raise InputError(f'BiFPNSpace: {name} must be ascending positive integers, got {values!r}')
        self.merges, self.num_cells, self.channels = tuple(fusions), tuple(num_cells), tuple(channels)
        count = len(LEVELS)
        edges = [
            Decision(f'further edge of node {i}', 1 + count + i, (None,) * (1 + count) + tuple(range(i)))
            for i in range(len(PATHS))
        ]
        self.decisions = (
            *edges,
            Decision('fusion', len(self.merges)),
            Decision('cells', len(self.num_cells)),
            Decision('channels', len(self.channels)),
        )
        legal = (1 + count + i - 2 for i in range(len(PATHS)))
        self.size = prod(legal) * len(self.merges) * len(self.num_cells) * len(self.channels)

    @staticmethod
    def _fixed(node: int) -> tuple[int, int]:
        """The two features that a node always reads."""
        latest = {level: i for i, level in enumerate(LEVELS)}
        for earlier in range(node):
            latest[PATHS[earlier]] = len(LEVELS) + earlier
        source = PATHS[node - 1] if node else LEVELS[-1]
        return latest[PATHS[node]], latest[source]

    def mask(self, prefix: Sequence[int]) -> list[bool]:
        legal = super().mask(prefix)
        if len(prefix) < len(PATHS):
            for feature in self._fixed(len(prefix)):
                legal[1 + feature] = False
        return legal

    def decode(self, choices: Sequence[int]) -> Pyramid:
        choices = self.check(choices)
        fusion = self.merges[choices[len(PATHS)]]
        nodes = []
        for i, level in enumerate(PATHS):
            own, source = self._fixed(i)
            further = (choices[i] - 1,) if choices[i] else ()
            # in BiFPN's order: the level's input, what the level has since, the neighbour
            nodes.append(Node(level, (*sorted({own, *further}), source), fusion))
        outputs = [len(LEVELS) + i for i in (3, 4, 5, 6, 7)]
        graph = FeatureGraph(LEVELS, tuple(nodes), tuple(outputs))
        return Pyramid(graph, self.num_cells[choices[-2]], self.channels[choices[-1]])

    def encode(self, architecture: Pyramid) -> tuple[int, ...]:
        graph = architecture.graph
        if graph.inputs != LEVELS or tuple(node.level for node in graph.nodes) != PATHS:
            raise InputError(f'BiFPNSpace: needs nodes on levels {PATHS}, got {[node.level for node in graph.nodes]}')
        choices = []
        for i, node in enumerate(graph.nodes):
            further = set(node.inputs) - set(self._fixed(i))
            if len(further) > 1 or not set(self._fixed(i)) <= set(node.inputs) or node.merge != graph.nodes[0].merge:
                raise InputError(f'BiFPNSpace: node {i} must read {self._fixed(i)} and at most one more, got {node}')
            choices.append(1 + further.pop() if further else 0)
        for name, value, known in (
            ('fusion', graph.nodes[0].merge, self.merges),
            ('cells', architecture.num_cells, self.num_cells),
            ('channels', architecture.channels, self.channels),
        ):
            if value not in known:
                raise InputError(f'BiFPNSpace: {name} must be one of {known}, got {value!r}')
            choices.append(known.index(value))
        return self.check(choices)

    def to_dict(self, architecture: Pyramid) -> dict:
        return {
            'graph': architecture.graph.to_dict(),
            'num_cells': architecture.num_cells,
            'channels': architecture.channels,
        }

    def graph(self, architecture: Pyramid) -> FeatureGraph:
        return architecture.graph

    def apply(self, architecture: Pyramid, config: Config) -> None:
        neck: Any = config.model.get('neck') or {}
        head: Any = config.model.get('bbox_head') or {}
        if neck.get('type') not in ('mmlight.BiFPN', 'mmlight.GraphFPN') or 'in_channels' not in head:
            raise InputError(
                'BiFPNSpace: model.neck must be a mmlight.BiFPN or mmlight.GraphFPN and model.bbox_head must have '
                f'in_channels, got {neck.get("type")!r} and {head.get("type")!r}'
            )
        neck.update(
            type='mmlight.GraphFPN',
            graph=architecture.graph.to_dict(),
            num_cells=architecture.num_cells,
            out_channels=architecture.channels,
        )
        neck.pop('fusion', None)
        head.in_channels = architecture.channels
        if 'feat_channels' in head:
            head.feat_channels = architecture.channels


def efficientdet(num_cells: int = 3, channels: int = 64) -> Pyramid:
    """EfficientDet's BiFPN."""
    return Pyramid(bifpn(), num_cells, channels)
