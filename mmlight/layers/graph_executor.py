"""The one executor of feature graphs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmlight.errors import InputError
from mmlight.tables import FeatureGraph, Node


class GraphNode(nn.Module):
    """A node: every input to the node's size, the merge, the leftovers added, the block.

    Args:
        node: Which features it reads, and its level.
        edges: One module an input, called with the feature and the size ``(H, W)`` wanted.
        merge: Called with the list of resized features.
        block: Called with the merged feature.
        leftovers: One module a leftover, called with the feature.
    """

    def __init__(
        self,
        node: Node,
        edges: Sequence[nn.Module],
        merge: nn.Module,
        block: nn.Module,
        leftovers: Sequence[nn.Module],
    ):
        super().__init__()
        self.inputs = node.inputs
        self.leftovers = node.leftovers
        self.level = node.level
        self.edges = nn.ModuleList(edges)
        self.leftover_edges = nn.ModuleList(leftovers)
        self.merge = merge
        self.block = block

    def forward(self, features: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        edges = zip(self.inputs, self.edges, strict=True)
        result = self.merge([edge(features[i], size) for i, edge in edges])
        for i, edge in zip(self.leftovers, self.leftover_edges, strict=True):
            result = result + edge(features[i])
        return self.block(result)


class GraphExecutor(nn.Module):
    """Computes a feature graph; what its edges, merges and blocks are is said by three functions.

    Args:
        graph: The graph.
        edge: ``(source feature, target feature)`` to the module that resizes; see :class:`GraphNode`.
        merge: Target feature to the module that merges.
        block: Target feature to the module that follows.
        outputs: Features to return instead of all of the graph's. Nodes that none of them needs are not built; the
            others keep their names in the state dict.
        leftover: Source feature to the module that makes it fit to be added.
    """

    def __init__(
        self,
        graph: FeatureGraph,
        edge: Callable[[int, int], nn.Module],
        merge: Callable[[int], nn.Module],
        block: Callable[[int], nn.Module],
        outputs: Sequence[int] | None = None,
        leftover: Callable[[int], nn.Module] = nn.Identity,
    ):
        super().__init__()
        self.graph = graph
        self.outputs = graph.outputs if outputs is None else tuple(outputs)
        needed = graph.needed(self.outputs)

        def build(i: int, node: Node) -> GraphNode:
            edges = [edge(source, i) for source in node.inputs]
            return GraphNode(node, edges, merge(i), block(i), [leftover(source) for source in node.leftovers])

        nodes = enumerate(graph.nodes, len(graph.inputs))
        self.nodes: Any = nn.ModuleList(build(i, node) if i in needed else None for i, node in nodes)  # type: ignore[misc]

    def forward(self, inputs: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """Features ``(N, C, H, W)`` on the graph's input levels to those that come out; an input that is not needed may
        be ``None``."""
        if len(inputs) != len(self.graph.inputs):
            raise InputError(f'feature graph: needs {len(self.graph.inputs)} features, got {len(inputs)}')
        sizes = level_sizes(self.graph.inputs, inputs, self.graph.output_levels[-1])
        features: list[Any] = list(inputs)
        for node in self.nodes:
            features.append(None if node is None else node(features, sizes[node.level]))
        return tuple(features[index] for index in self.outputs)


def level_sizes(levels: Sequence[int], features: Sequence[Tensor | None], high: int) -> Mapping[int, tuple[int, int]]:
    """``(H, W)`` of every level from the lowest to ``high``: of the features where there is one, else half of the level
    below, rounded up."""
    given = zip(levels, features, strict=True)
    sizes = {level: (*feature.shape[-2:],) for level, feature in given if feature is not None}
    for level in range(min(levels) + 1, high + 1):
        if level not in sizes:
            height, width = sizes[level - 1]
            # not -(-height // 2): ONNX divides towards zero
            sizes[level] = ((height + 1) // 2, (width + 1) // 2)
    return sizes
