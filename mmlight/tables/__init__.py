"""Feature graphs: the data type, published graphs, drawing. Nothing here knows of tensors."""

from mmlight.tables.builders import bifpn, build_graph, fpn, fully_connected, nas_fpn, pafpn, repeat
from mmlight.tables.drawing import draw, to_dot
from mmlight.tables.feature_graph import FeatureGraph, Node

__all__ = [
    'FeatureGraph',
    'Node',
    'bifpn',
    'build_graph',
    'draw',
    'fpn',
    'fully_connected',
    'nas_fpn',
    'pafpn',
    'repeat',
    'to_dot',
]
