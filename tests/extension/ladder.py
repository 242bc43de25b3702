"""A pyramid, as a user writes it: every level reads itself and the two coarser ones."""

from mmlight.registry import GRAPHS
from mmlight.tables import FeatureGraph, Node


@GRAPHS.register_module()
def ladder(low, high, merge='fast'):
    levels = tuple(range(low, high + 1))
    last = {level: index for index, level in enumerate(levels)}
    nodes = []
    for level in reversed(levels[:-1]):
        sources = [last[other] for other in (level, level + 1, level + 2) if other in last]
        nodes.append(Node(level, tuple(sources), merge, 'conv'))
        last[level] = len(levels) + len(nodes) - 1
    return FeatureGraph(levels, tuple(nodes), tuple(last[level] for level in levels))
