"""Bricks that two or more models use."""

from mmlight.layers.checkpointing import recomputed
from mmlight.layers.fusion_cell import ConvNorm, fusion_cell
from mmlight.layers.graph_executor import GraphExecutor, level_sizes
from mmlight.layers.mbconv import MBConv
from mmlight.layers.merges import Merge, SumMerge, build_merge
from mmlight.layers.resample import Conv2dSame, MaxPool2dSame, Resize, max_pool_same, resize
from mmlight.layers.separable import SeparableConv
from mmlight.layers.xception import XceptionBlock, separable_conv, xception_stage
from mmlight.ops import PSRoIAlign, PSRoIPool
from mmlight.registry import MODELS

MODELS.register_module(module=PSRoIAlign)
MODELS.register_module(module=PSRoIPool)

__all__ = [
    'Conv2dSame',
    'ConvNorm',
    'GraphExecutor',
    'MBConv',
    'MaxPool2dSame',
    'Merge',
    'PSRoIAlign',
    'PSRoIPool',
    'Resize',
    'SeparableConv',
    'SumMerge',
    'XceptionBlock',
    'build_merge',
    'fusion_cell',
    'level_sizes',
    'max_pool_same',
    'recomputed',
    'resize',
    'separable_conv',
    'xception_stage',
]
