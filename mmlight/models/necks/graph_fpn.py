"""Necks that are feature graphs: any graph, and EfficientDet's BiFPN (arXiv 1911.09070)."""

from collections.abc import Mapping, Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.layers import ConvNorm, fusion_cell, recomputed, resize
from mmlight.registry import MODELS
from mmlight.tables import FeatureGraph, build_graph


def check_channels(name: str, in_channels: Sequence[int], out_channels: int) -> None:
    """Raise if they are not positive integers."""
    if not isinstance(in_channels, Sequence) or not all(type(c) is int and c > 0 for c in in_channels):
        raise InputError(f'{name}: in_channels must be a list of positive integers, got {in_channels!r}')
    checks.positive_int(name, out_channels=out_channels)


def check_levels(name: str, graph: FeatureGraph, in_channels: Sequence[int], first: int) -> None:
    """Raise if a backbone's maps, the first on level ``first``, do not fit a graph, or it leaves one unread."""
    levels = graph.inputs
    if tuple(levels) != tuple(range(first, first + len(levels))):
        raise InputError(f'{name}: the inputs of the graph must be consecutive levels from {first}, got {levels}')
    if not 1 <= len(in_channels) <= len(levels):
        raise InputError(
            f'{name}: in_channels has {len(in_channels)} entries for {len(levels)} levels from {first} to {levels[-1]}'
        )
    unread = set(range(len(levels))) - {source for source, _ in graph.edges} - set(graph.outputs)
    if unread:
        raise InputError(f'{name}: no node of the graph reads the input of level {levels[min(unread)]}')


def check_inputs(name: str, inputs: Sequence[Tensor], in_channels: Sequence[int]) -> None:
    """Raise if other maps come in than ``in_channels`` says."""
    found = tuple(x.shape[1] for x in inputs)
    if found != tuple(in_channels):
        raise InputError(
            f'{name}: in_channels is {tuple(in_channels)}, but the backbone gives maps with {found} channels; '
            'check its out_indices'
        )


def coarser(name: str, x: Tensor, level: int, overlap: int) -> Tensor:
    """Max pooling to the next level, whose number is for the message only.

    Raises:
        InputError: if nothing is left to pool.
    """
    height, width = x.shape[-2:]
    if height == 1 and width == 1:
        raise InputError(
            f'{name}: the image is too small, level {level - 1} has one cell and level {level} would vanish'
        )
    return resize(x, ((height + 1) // 2, (width + 1) // 2), overlap)


@MODELS.register_module()
class GraphFPN(BaseModule):
    """A neck with the wiring of any feature graph, with EfficientDet's bricks (arXiv 1911.09070 and the authors' code).

    Levels that the backbone lacks are pooled from its last map (3x3, stride 2; the first one after a 1x1 convolution
    and norm). The backbone's maps enter the first cell as they are: each edge from them has a 1x1 convolution and norm
    of its own. A node resizes its inputs (max pooling 3x3, nearest), merges them, and applies activation, separable 3x3
    convolution and norm. Sizes are those of the maps that come in; any image size works.

    Args:
        in_channels: Channels of the backbone's maps, from level ``start_level``.
        out_channels: Channels of all nodes.
        graph: Name of a graph (``'fpn'``, ``'pafpn'``, ``'bifpn'``, ``'fully_connected'``, ``'nas_fpn'``), or a dict as
            :meth:`mmlight.tables.FeatureGraph.to_dict` makes it.
        num_cells: How often the graph is repeated, each time with its own weights.
        start_level: Level of the first map: its stride is ``2 ** start_level``. (In mmdet's necks ``start_level`` is an
            index into ``in_channels``.)
        end_level: Highest level that comes out; 7 for a graph by name, else what the graph says.
        fusion: Merge of all nodes, one of :data:`mmlight.registry.MERGES`; ``None`` keeps the graph's.
        separable: Separable 3x3 convolutions; full ones without.
        conv_bias: Bias of convolutions that a norm follows. It changes nothing but the count of parameters, and the
            published weights have it.
        norm_cfg: Normalisation layers.
        act_cfg: Activation, ``None`` for none.
        with_cp: Recompute each cell in the backward pass to save memory.
        init_cfg: mmengine's initialisation config.

    Raises:
        InputError: for a graph that does not fit ``in_channels`` and the levels, and from ``forward`` for maps of other
            channels or an image so small that a level would vanish.
    """

    def __init__(  # noqa: PLR0913 (keys of a config)
        self,
        in_channels: Sequence[int],
        out_channels: int,
        graph: str | Mapping | FeatureGraph,
        num_cells: int = 1,
        start_level: int = 3,
        end_level: int | None = None,
        fusion: str | None = None,
        separable: bool = True,
        conv_bias: bool = True,
        norm_cfg: dict = dict(type='BN', eps=1e-3, momentum=0.01),
        act_cfg: dict | None = dict(type='SiLU'),
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = dict(type='Xavier', layer='Conv2d', distribution='uniform'),
    ):
        super().__init__(init_cfg)
        self.name = type(self).__name__
        checks.positive_int(self.name, num_cells=num_cells)
        checks.int_from(0, self.name, start_level=start_level)
        check_channels(self.name, in_channels, out_channels)
        high = 7 if end_level is None and isinstance(graph, str) else end_level
        graph = build_graph(graph, start_level, high or 0, fusion)
        if high is not None and graph.output_levels[-1] != high:
            raise InputError(f'{self.name}: end_level is {high}, but the graph ends at level {graph.output_levels[-1]}')
        check_levels(self.name, graph, in_channels, start_level)
        if num_cells > 1 and graph.output_levels != graph.inputs:
            raise InputError(
                f'{self.name}: a graph with input levels {graph.inputs} and output levels {graph.output_levels} '
                'cannot be repeated; num_cells must be 1'
            )
        self.in_channels = tuple(in_channels)
        self.levels = graph.inputs
        self.out_channels = (out_channels,) * len(graph.outputs)
        self.out_strides = tuple(2**level for level in graph.output_levels)
        self.with_cp = with_cp
        extra = len(graph.inputs) - len(in_channels)
        needs_lateral = extra and in_channels[-1] != out_channels
        self.extra_lateral = (
            ConvNorm(nn.Conv2d(in_channels[-1], out_channels, 1, bias=conv_bias), out_channels, norm_cfg)
            if needs_lateral
            else nn.Identity()
        )
        widths = [*in_channels, *[out_channels] * extra]
        self.cells = nn.ModuleList(
            fusion_cell(
                graph,
                [out_channels] * len(widths) if i else widths,
                out_channels,
                separable,
                conv_bias,
                norm_cfg,
                act_cfg,
                overlap=1,
            )
            for i in range(num_cells)
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The backbone's maps ``(N, C, H, W)`` to ``(N, out_channels, H, W)`` on every output level.

        With strides ``2 ** level``, sizes rounded up.
        """
        check_inputs(self.name, inputs, self.in_channels)
        features = list(inputs)
        for level in self.levels[len(inputs) :]:
            last = self.extra_lateral(features[-1]) if len(features) == len(inputs) else features[-1]
            features.append(coarser(self.name, last, level, overlap=1))
        for cell in self.cells:
            if self.with_cp and self.training and features[0].requires_grad:
                features = recomputed(cell, cell, features)
            else:
                features = cell(features)
        return tuple(features)


@MODELS.register_module()
class BiFPN(GraphFPN):
    """Weighted bidirectional feature pyramid (EfficientDet, arXiv 1911.09070, Sec. 3.2 and 3.3).

    :class:`GraphFPN` with the graph ``'bifpn'``. ``fusion`` is ``'fast'`` in D0 to D5 and ``'sum'`` in D6, D7, D7x and
    the Lite models. The defaults are those of D0.
    """

    def __init__(
        self,
        in_channels: Sequence[int] = (40, 112, 320),
        out_channels: int = 64,
        num_cells: int = 3,
        fusion: str = 'fast',
        **kwargs,
    ):
        super().__init__(in_channels, out_channels, 'bifpn', num_cells, fusion=fusion, **kwargs)
