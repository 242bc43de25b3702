"""A pyramid and its merge, as a user writes them: every level reads itself and the two coarser ones, their maximum."""

from functools import reduce

import torch

from mmlight.layers import Merge
from mmlight.registry import GRAPHS, MERGES
from mmlight.tables import FeatureGraph, Node


@MERGES.register_module('maximum')
class Maximum(Merge):
    colour = '#d62828'

    def forward(self, features):
        return reduce(torch.maximum, features)


@GRAPHS.register_module()
def ladder(low, high, merge='maximum'):
    levels, nodes, last = tuple(range(low, high + 1)), [], {level: level - low for level in range(low, high + 1)}
    for level in reversed(levels[:-1]):
        nodes.append(Node(level, [last[other] for other in (level, level + 1, level + 2) if other in last], merge))
        last[level] = len(levels) + len(nodes) - 1
    return FeatureGraph(levels, nodes, [last[level] for level in levels])
