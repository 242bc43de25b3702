"""Published feature graphs, as functions of the pyramid's levels.

Levels are counted as in the papers: level ``l`` has stride ``2 ** l``. Unless said otherwise the inputs are one feature
for each level from ``low`` to ``high``, and so are the outputs.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from mmlight.errors import InputError
from mmlight.registry import GRAPHS, registered
from mmlight.tables.feature_graph import FeatureGraph, Node


class _Wiring:
    """A graph in the making: every level knows its features so far."""

    def __init__(self, low: int, high: int, merge: str, block: str | None):
        if not (isinstance(low, int) and isinstance(high, int) and 0 <= low < high):
            raise InputError(f'feature graph: levels must be integers with 0 <= low < high, got {low!r} to {high!r}')
        self.inputs = tuple(range(low, high + 1))
        self.of_level = {level: [index] for index, level in enumerate(self.inputs)}
        self.nodes: list[Node] = []
        self.merge, self.block = merge, block

    def add(self, level: int, inputs: list[int]) -> None:
        self.nodes.append(Node(level, tuple(inputs), self.merge, self.block))
        self.of_level[level].append(len(self.inputs) + len(self.nodes) - 1)

    def graph(self) -> FeatureGraph:
        return FeatureGraph(self.inputs, tuple(self.nodes), tuple(features[-1] for features in self.of_level.values()))


@GRAPHS.register_module()
def fpn(low: int = 3, high: int = 7, merge: str = 'sum', block: str | None = 'conv') -> FeatureGraph:
    """Top-down pyramid (FPN, arXiv 1612.03144), the top level a node of its own so that it can be repeated
    (EfficientDet, arXiv 1911.09070, Table 5)."""
    wiring = _Wiring(low, high, merge, block)
    _top_down(wiring, low, high)
    return wiring.graph()


@GRAPHS.register_module()
def pafpn(low: int = 3, high: int = 7, merge: str = 'sum', block: str | None = 'conv') -> FeatureGraph:
    """Top-down, then bottom-up (PANet, arXiv 1803.01534)."""
    wiring = _Wiring(low, high, merge, block)
    _top_down(wiring, low, high)
    top_down = {level: features[-1] for level, features in wiring.of_level.items()}
    wiring.add(low, [top_down[low]])
    for level in range(low + 1, high + 1):
        wiring.add(level, [top_down[level], wiring.of_level[level - 1][-1]])
    return wiring.graph()


def _top_down(wiring: _Wiring, low: int, high: int) -> None:
    wiring.add(high, wiring.of_level[high][-1:])
    for level in range(high - 1, low - 1, -1):
        wiring.add(level, [wiring.of_level[level][-1], wiring.of_level[level + 1][-1]])


@GRAPHS.register_module()
def bifpn(low: int = 3, high: int = 7, merge: str = 'fast', block: str | None = 'conv') -> FeatureGraph:
    """One BiFPN cell (EfficientDet, arXiv 1911.09070, Fig. 2d): a node with one input only is left out, and an edge
    leads from a level's input to its output."""
    wiring = _Wiring(low, high, merge, block)
    for level in range(high - 1, low - 1, -1):
        wiring.add(level, [wiring.of_level[level][-1], wiring.of_level[level + 1][-1]])
    for level in range(low + 1, high + 1):
        wiring.add(level, [*wiring.of_level[level], wiring.of_level[level - 1][-1]])
    return wiring.graph()


@GRAPHS.register_module()
def fully_connected(low: int = 3, high: int = 7, merge: str = 'sum', block: str | None = 'conv') -> FeatureGraph:
    """One node a level, each reads every input (EfficientDet, arXiv 1911.09070, Table 5; its wiring is not published
    and read here as the complete bipartite graph)."""
    wiring = _Wiring(low, high, merge, block)
    for level in range(low, high + 1):
        wiring.add(level, list(range(len(wiring.inputs))))
    return wiring.graph()


# NAS-FPN (arXiv 1904.07392, Fig. 6): the published 7 merging cells. An output cell also adds the inputs of its level
# that nothing has read yet.
_NAS_FPN = (
    Node(4, (1, 3), 'attention'),
    Node(4, (1, 5), 'sum'),
    Node(3, (0, 6), 'sum'),
    Node(4, (6, 7), 'sum'),
    Node(5, (7, 8), 'attention', leftovers=(2,)),
    Node(7, (6, 9), 'attention', leftovers=(4,)),
    Node(6, (9, 10), 'attention'),
)
# mmdet 3.3's NASFPN: the same wiring, another arithmetic. The coarser input stands first; where a third input is added,
# the attention has no convolution and the sum that follows has it.
_NAS_FPN_MMDET = (
    Node(4, (3, 1), 'attention_mmdet'),
    Node(4, (5, 1), 'sum'),
    Node(3, (6, 0), 'sum'),
    Node(4, (7, 6), 'sum'),
    Node(5, (8, 7), 'attention_mmdet', None),
    Node(5, (2, 9), 'sum'),
    Node(7, (10, 6), 'attention_mmdet', None),
    Node(7, (4, 11), 'sum'),
    Node(6, (12, 10), 'attention_mmdet'),
)


def nas_fpn(attention: str = 'tf', block: str | None = 'conv') -> FeatureGraph:
    """The published seven merging cells on levels 3 to 7 (NAS-FPN, arXiv 1904.07392, Fig. 6).

    Args:
        attention: ``'tf'`` for the authors' arithmetic, ``'mmdet'`` for that of mmdet's ``NASFPN``.
        block: Name of what follows a merge.
    """
    if attention not in ('tf', 'mmdet'):
        raise InputError(f"nas_fpn: attention must be 'tf' or 'mmdet', got {attention!r}")
    nodes, outputs = (_NAS_FPN, (7, 8, 9, 11, 10)) if attention == 'tf' else (_NAS_FPN_MMDET, (7, 8, 10, 13, 12))
    return FeatureGraph((3, 4, 5, 6, 7), tuple(replace(n, block=n.block and block) for n in nodes), outputs)


@GRAPHS.register_module('nas_fpn')
def _published(low: int, high: int, merge: str | None = None, attention: str = 'tf') -> FeatureGraph:
    if (low, high) != (3, 7):
        raise InputError(f'feature graph: NAS-FPN is published for levels 3 to 7, got {low} to {high}')
    return build_graph(nas_fpn(attention), low, high, merge)


@GRAPHS.register_module('nas_fpn_mmdet')
def _published_mmdet(low: int, high: int, merge: str | None = None) -> FeatureGraph:
    return _published(low, high, merge, 'mmdet')


def repeat(graph: FeatureGraph, times: int) -> FeatureGraph:
    """``times`` copies one after the other, each reading the outputs of the one before.

    Raises:
        InputError: ``times`` is below 1, or the outputs' levels are not those of the inputs.
    """
    if not isinstance(times, int) or times < 1:
        raise InputError(f'repeat: times must be an integer of at least 1, got {times!r}')
    if times > 1 and graph.inputs != graph.output_levels:
        raise InputError(
            f'repeat: the outputs must have the levels of the inputs, got {graph.output_levels} and {graph.inputs}'
        )
    count = len(graph.inputs)
    nodes: list[Node] = []
    last = tuple(range(count))
    for _ in range(times):
        shift = len(nodes)
        index = [*last, *range(count + shift, count + shift + len(graph.nodes))]
        nodes += [
            replace(
                node,
                inputs=tuple(index[source] for source in node.inputs),
                leftovers=tuple(index[source] for source in node.leftovers),
            )
            for node in graph.nodes
        ]
        last = tuple(index[feature] for feature in graph.outputs)
    return FeatureGraph(graph.inputs, tuple(nodes), last)


def build_graph(graph: str | Mapping | FeatureGraph, low: int, high: int, merge: str | None = None) -> FeatureGraph:
    """A graph by name, from a config's dict, or as it is.

    Args:
        graph: One of :data:`mmlight.registry.GRAPHS`, a dict as :meth:`FeatureGraph.to_dict` makes it, or a graph.
        low: Lowest level, for a graph by name.
        high: Highest level, for a graph by name.
        merge: Merge of all nodes; ``None`` keeps what the graph or the builder says.

    Raises:
        InputError: for an unknown name and for a graph that breaks a rule.
    """
    if isinstance(graph, str):
        builder: Callable[..., FeatureGraph] = registered(GRAPHS, graph, 'feature graph')
        return builder(low, high, **({} if merge is None else {'merge': merge}))
    graph = graph if isinstance(graph, FeatureGraph) else FeatureGraph.from_dict(graph)
    if merge is None:
        return graph
    return replace(graph, nodes=tuple(replace(node, merge=merge) for node in graph.nodes))
