"""NAS-FPN's neck (arXiv 1904.07392)."""

import re
from collections.abc import Mapping, Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.layers import ConvNorm, fusion_cell, recomputed
from mmlight.layers.arithmetic import declare_arithmetic
from mmlight.models.necks.graph_fpn import check_channels, check_inputs, check_levels, coarser
from mmlight.registry import MODELS
from mmlight.tables import FeatureGraph, build_graph, nas_fpn

MMDET_CELLS = ('gp_64_4', 'sum_44_4', 'sum_43_3', 'sum_34_4', 'gp_43_5', 'sum_55_5', 'gp_54_7', 'sum_77_7', 'gp_75_6')
"""mmdet's names of the cells, in the order of the graph ``nas_fpn('mmdet')``."""


def own_name(name: str) -> str:
    """The name here of a weight of mmdet's ``NASFPN``."""
    name = re.sub(r'^lateral_convs\.', 'laterals.', name)
    name = re.sub(r'^extra_downsamples\.(\d+)\.0\.', r'before_pools.\1.', name)
    found = re.match(r'fpn_stages\.(\d+)\.(\w+)\.out_conv\.(.+)', name)
    if found is None or found[2] not in MMDET_CELLS:
        return name
    return f'stacks.{found[1]}.nodes.{MMDET_CELLS.index(found[2])}.block.{found[3]}'


def _rename_mmdet(neck: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_) -> None:
    theirs = [name for name in state_dict if name.startswith(f'{prefix}fpn_stages.')]
    if not theirs:
        return
    if neck.attention != 'mmdet':
        raise InputError("NASFPN: the weights are of mmdet's NASFPN, the network has attention='tf': write 'mmdet'")
    if other := {norm.eps for norm in neck.modules() if isinstance(norm, nn.BatchNorm2d)} - {1e-5}:
        raise InputError(
            "NASFPN: the weights are of mmdet's NASFPN, whose norms have eps=1e-05, the network's "
            f"{other.pop()}: write norm_cfg=dict(type='BN') here and in the head"
        )
    for name in [name for name in state_dict if name.startswith(prefix)]:
        state_dict[prefix + own_name(name[len(prefix) :])] = state_dict.pop(name)


@MODELS.register_module()
class NASFPN(BaseModule):
    """Stacked merging cells (NAS-FPN, arXiv 1904.07392, Sec. 3 and Fig. 6, and the authors' code).

    The backbone's maps get a 1x1 convolution and norm each; the levels above are 2x2 max pools. A cell resizes its
    inputs (max pooling with kernel = stride, nearest), merges them, and applies ReLU, 3x3 convolution and norm.

    mmdet's ``NASFPN`` has the same wiring and another arithmetic; ``attention='mmdet'`` selects it (average instead of
    maximum, of the finer instead of the coarser input; a convolution before each pool; no bias in the 1x1
    convolutions), and its weights are renamed when they are loaded.

    Args:
        in_channels: Channels of the backbone's maps, from level 3.
        out_channels: Channels of all features.
        stack_times: Number of stacks, each with its own weights.
        graph: Merging cells as a dict (:meth:`mmlight.tables.FeatureGraph.to_dict`), e.g. those that a search found;
            ``None`` for the published seven.
        attention: ``'tf'`` or ``'mmdet'``.
        separable: Separable 3x3 convolutions (NAS-FPNLite).
        norm_cfg: Normalisation layers.
        act_cfg: Activation, ``None`` for none.
        with_cp: Recompute each stack in the backward pass to save memory.
        init_cfg: mmengine's initialisation config.

    Raises:
        InputError: for a graph that does not fit ``in_channels`` or cannot be stacked, and from ``forward`` for maps of
            other channels or an image so small that a level would vanish.
    """

    def __init__(  # noqa: PLR0913 (keys of a config)
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        stack_times: int = 7,
        graph: Mapping | FeatureGraph | None = None,
        attention: str = 'tf',
        separable: bool = False,
        norm_cfg: dict = dict(type='BN', eps=1e-3, momentum=0.01),
        act_cfg: dict | None = dict(type='ReLU'),
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = dict(type='Caffe2Xavier', layer='Conv2d'),
    ):
        super().__init__(init_cfg)
        checks.one_of(('tf', 'mmdet'), 'NASFPN', attention=attention)
        checks.positive_int('NASFPN', stack_times=stack_times)
        graph = nas_fpn(attention) if graph is None else build_graph(graph, 3, 7)
        check_channels('NASFPN', in_channels, out_channels)
        check_levels('NASFPN', graph, in_channels, graph.inputs[0])
        other = {'tf': 'attention_mmdet', 'mmdet': 'attention'}[attention]
        if any(node.merge == other for node in graph.nodes):
            raise InputError(f'NASFPN: attention is {attention!r}, but the graph has the merge {other!r}')
        if graph.output_levels != graph.inputs:
            raise InputError(
                f'NASFPN: a stack must return the levels that it reads, {graph.inputs}, got {graph.output_levels}'
            )
        mmdet = attention == 'mmdet'
        self.attention = attention
        self.in_channels = tuple(in_channels)
        self.with_cp = with_cp
        self.levels = graph.inputs
        self.out_channels = (out_channels,) * len(graph.outputs)
        self.out_strides = tuple(2**level for level in graph.output_levels)

        def lateral(channels: int) -> nn.Module:
            return ConvNorm(nn.Conv2d(channels, out_channels, 1, bias=not mmdet), out_channels, norm_cfg)

        self.laterals = nn.ModuleList(map(lateral, in_channels))
        extra = len(graph.inputs) - len(in_channels)
        self.before_pools = nn.ModuleList(lateral(out_channels) if mmdet else nn.Identity() for _ in range(extra))

        self._register_load_state_dict_pre_hook(_rename_mmdet, with_module=True)
        declare_arithmetic(self, attention=attention)
        widths = [out_channels] * len(graph.inputs)
        self.stacks = nn.ModuleList(
            fusion_cell(graph, widths, out_channels, separable, True, norm_cfg, act_cfg, overlap=0)
            for _ in range(stack_times)
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The backbone's maps ``(N, C, H, W)`` to ``(N, out_channels, H, W)`` on every level, strides ``2 ** level``,
        sizes rounded up."""
        check_inputs('NASFPN', inputs, self.in_channels)
        features = [lateral(x) for lateral, x in zip(self.laterals, inputs, strict=True)]
        for before, level in zip(self.before_pools, self.levels[len(inputs) :], strict=True):
            features.append(coarser('NASFPN', before(features[-1]), level, overlap=0))
        for stack in self.stacks:
            if self.with_cp and self.training:
                features = recomputed(stack, stack, features)
            else:
                features = stack(features)
        return tuple(features)
