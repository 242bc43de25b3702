"""Cells of a pyramid neck: a feature graph with 1x1 laterals, parameter-free resizing and one convolution a node."""

from collections.abc import Sequence

from mmcv.cnn import build_activation_layer, build_norm_layer
from torch import Tensor, nn

from mmlight.layers.graph_executor import GraphExecutor
from mmlight.layers.merges import build_merge
from mmlight.layers.resample import Resize
from mmlight.layers.separable import SeparableConv
from mmlight.registry import BLOCKS, registered
from mmlight.tables import FeatureGraph


class ConvNorm(nn.Module):
    """Convolution and norm without activation.

    Args:
        conv: The convolution.
        channels: Channels that it gives.
        norm_cfg: Normalisation layer.
    """

    def __init__(self, conv: nn.Module, channels: int, norm_cfg: dict):
        super().__init__()
        self.conv = conv
        self.bn = build_norm_layer(norm_cfg, channels)[1]

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


@BLOCKS.register_module('conv')
class FusionBlock(ConvNorm):
    """Activation, 3x3 convolution, norm: what follows a merge."""

    def __init__(self, channels: int, separable: bool, bias: bool, norm_cfg: dict, act_cfg: dict | None):
        conv = (
            SeparableConv(channels, channels, bias)
            if separable
            else nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        )
        super().__init__(conv, channels, norm_cfg)
        # not in place: a node with one input merges nothing, and its input has other readers
        self.act = nn.Identity() if act_cfg is None else build_activation_layer(act_cfg)
        if hasattr(self.act, 'inplace'):
            self.act.inplace = False

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.act(x))


class LateralResize(Resize):
    """1x1 convolution and norm to the node's channels, then the resize: an edge from a feature of other width."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool, norm_cfg: dict, overlap: int):
        super().__init__(overlap)
        self.lateral = ConvNorm(nn.Conv2d(in_channels, out_channels, 1, bias=bias), out_channels, norm_cfg)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return super().forward(self.lateral(x), size)


def fusion_cell(
    graph: FeatureGraph,
    in_channels: Sequence[int],
    out_channels: int,
    separable: bool,
    bias: bool,
    norm_cfg: dict,
    act_cfg: dict | None,
    overlap: int,
) -> GraphExecutor:
    """The executor of a pyramid neck's graph.

    Args:
        graph: The graph; a node whose ``block`` is ``None`` ends with its merge.
        in_channels: Channels of each of the graph's inputs.
        out_channels: Channels of every node.
        separable: Separable 3x3 convolutions after the merges; full ones without.
        bias: Bias of the convolutions.
        norm_cfg: Normalisation layers.
        act_cfg: Activation before the 3x3 convolutions, ``None`` for none.
        overlap: Cells that neighbouring pooling windows share.

    Raises:
        InputError: for an unknown block.
    """
    first = len(graph.inputs)
    kinds = sorted({node.block for node in graph.nodes if node.block is not None})
    blocks = {kind: registered(BLOCKS, kind, 'feature graph of a neck') for kind in kinds}

    def edge(source: int, target: int) -> nn.Module:
        if source >= first or in_channels[source] == out_channels:
            return Resize(overlap)
        return LateralResize(in_channels[source], out_channels, bias, norm_cfg, overlap)

    def leftover(source: int) -> nn.Module:
        if source >= first or in_channels[source] == out_channels:
            return nn.Identity()
        return ConvNorm(nn.Conv2d(in_channels[source], out_channels, 1, bias=bias), out_channels, norm_cfg)

    def merge(target: int) -> nn.Module:
        node = graph.nodes[target - first]
        return build_merge(node.merge, [graph.levels[i] for i in node.inputs], out_channels)

    def block(target: int) -> nn.Module:
        kind = graph.nodes[target - first].block
        return nn.Identity() if kind is None else blocks[kind](out_channels, separable, bias, norm_cfg, act_cfg)

    return GraphExecutor(graph, edge, merge, block, leftover=leftover)
