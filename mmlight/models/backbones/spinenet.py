"""SpineNet and every other scale-permuted network of bottlenecks and residual blocks (arXiv 1912.05027)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_activation_layer
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.layers import GraphExecutor, SumMerge, max_pool_same
from mmlight.layers.arithmetic import PADDINGS, conv_cfg_of, declare_arithmetic, max_pool
from mmlight.layers.resample import constant
from mmlight.models.backbones.base import Backbone
from mmlight.registry import MODELS
from mmlight.tables.feature_graph import FeatureGraph, as_tuple
from mmlight.tables.scale_permuted import (
    FISH,
    HOURGLASS,
    R0_SP53,
    R23_SP30,
    SPINENET_49,
    ScalePermuted,
    sequential,
    without_long_range,
    without_short_range,
)

BASE_CHANNELS = {1: 32, 2: 64, 3: 128, 4: 256, 5: 256, 6: 256, 7: 256}
"""Width of the 3x3 convolutions by level (tensorflow/tpu)."""

EXPANSION = {'bottleneck': 4, 'residual': 1}


@dataclass(frozen=True)
class SpineNetArch:
    """A network: its table and how it is scaled (arXiv 1912.05027, Sec. 3.3).

    Attributes:
        table: The blocks.
        filter_scale: Factor of :data:`BASE_CHANNELS`, the product truncated.
        block_repeats: Blocks in sequence for each of the table.
        alpha: Width inside a resampling edge, as a factor of the parent's 3x3 width.
        endpoint_channels: Channels of the maps that come out.
    """

    table: ScalePermuted
    filter_scale: float = 1.0
    block_repeats: int = 1
    alpha: float = 0.5
    endpoint_channels: int = 256


ARCHITECTURES = {
    # the released RetinaNet-49S has 256 endpoint channels, Mask R-CNN and today's config 128
    '49S': SpineNetArch(SPINENET_49, 0.65, endpoint_channels=128),
    '49S-ep256': SpineNetArch(SPINENET_49, 0.65),
    '49': SpineNetArch(SPINENET_49),
    '96': SpineNetArch(SPINENET_49, block_repeats=2),
    '143': SpineNetArch(SPINENET_49, block_repeats=3, alpha=1.0),
    '143L': SpineNetArch(SPINENET_49, 1.3, 3, 1.0),
    '190': SpineNetArch(SPINENET_49, 1.3, 4, 1.0, 512),
    'proxy': SpineNetArch(SPINENET_49, 0.25, alpha=0.25, endpoint_channels=64),
    'R0-SP53': SpineNetArch(R0_SP53),
    'R23-SP30': SpineNetArch(R23_SP30),
    'Hourglass': SpineNetArch(HOURGLASS),
    'Fish': SpineNetArch(FISH),
    'R0-SP53-no-short': SpineNetArch(without_short_range(R0_SP53)),
    'R0-SP53-no-long': SpineNetArch(without_long_range(R0_SP53)),
    'R0-SP53-sequential': SpineNetArch(sequential(R0_SP53)),
}


@dataclass(frozen=True)
class Layers:
    """What all convolutions of a network have in common."""

    norm_cfg: dict
    act_cfg: dict
    padding: str = 'symmetric'

    def conv(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, act: bool = True
    ) -> nn.Module:
        """Convolution without bias, norm, activation."""
        return ConvModule(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            kernel_size // 2,
            conv_cfg=conv_cfg_of('SpineNet', self.padding, tuple(PADDINGS)),
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg if act else None,
        )

    def act(self) -> nn.Module:
        return build_activation_layer(self.act_cfg)


class SpineBlock(nn.Module):
    """A bottleneck (1x1, 3x3, 1x1 to four times the width) or a residual block (3x3, 3x3); the stride is on the first
    3x3, the shortcut is a 1x1 convolution where the shapes differ.

    Args:
        kind: ``'bottleneck'`` or ``'residual'``.
        in_channels: Channels that come in.
        width: Of the 3x3 convolutions.
        stride: Of the block.
        layers: Norm and activation.
        drop_path: Probability that a sample skips the block in training.
        dropblock: Config of a layer after each norm, e.g. ``dict(type='mmdet.DropBlock', ...)``.
    """

    def __init__(
        self,
        kind: str,
        in_channels: int,
        width: int,
        stride: int,
        layers: Layers,
        drop_path: float = 0.0,
        dropblock: dict | None = None,
    ):
        super().__init__()
        out_channels = width * EXPANSION[kind]
        if kind == 'bottleneck':
            convs = [layers.conv(in_channels, width, 1), layers.conv(width, width, 3, stride)]
            convs.append(layers.conv(width, out_channels, 1, act=False))
        else:
            convs = [layers.conv(in_channels, width, 3, stride), layers.conv(width, width, 3, act=False)]
        if dropblock is not None:
            convs = [nn.Sequential(conv, MODELS.build(dropblock)) for conv in convs]
        self.convs = nn.Sequential(*convs)
        same = in_channels == out_channels and stride == 1
        self.shortcut = nn.Identity() if same else layers.conv(in_channels, out_channels, 1, stride, act=False)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.act = layers.act()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.shortcut(x) + self.drop_path(self.convs(x)))


class SpineResample(nn.Module):
    """An edge (arXiv 1912.05027, Fig. 3): 1x1 to ``mid_channels``; 3x3 with stride 2 and max pools, or nearest
    neighbour; 1x1 to the target's input width, without activation.

    Args:
        in_channels: Channels of the parent.
        mid_channels: Channels in between.
        out_channels: Input width of the target.
        steps: Levels from the parent up to the target; negative: down.
        layers: Padding, norm and activation.
        single_pool: One pool with the whole remaining stride instead of pools of stride 2.
    """

    def __init__(
        self, in_channels: int, mid_channels: int, out_channels: int, steps: int, layers: Layers, single_pool: bool
    ):
        super().__init__()
        self.reduce = layers.conv(in_channels, mid_channels, 1)
        down: list[nn.Module] = []
        if steps > 0:
            down.append(layers.conv(mid_channels, mid_channels, 3, stride=2))
        self.pool_by_width = single_pool and layers.padding != 'symmetric'
        if steps > 1 and not self.pool_by_width:
            stride = 2 ** (steps - 1)
            kernel = 3 if stride <= 2 else 5
            pools = [(kernel, stride)] if single_pool else [(3, 2)] * (steps - 1)
            down += [max_pool(layers.padding, kernel, stride) for kernel, stride in pools]
        self.down = nn.Sequential(*down)
        self.expand = layers.conv(mid_channels, out_channels, 1, act=False)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        width, target = constant((x.shape[-1], size[1]))
        x = self.down(self.reduce(x))
        if self.pool_by_width and width // target > 2:  # as tensorflow/tpu, whose images are as high as wide
            stride = 2 if width % target else width // target // 2
            x = max_pool_same(x, (3 if width <= 4 * target else 5,) * 2, (stride,) * 2)
        # one pool gives another size than three halvings where the sides are not divisible
        if x.shape[-2:] != tuple(size):
            x = F.interpolate(x, size=size, mode='nearest')
        return self.expand(x)


def resolve(arch: str, blocks: Any, stem: Any, **scaling: Any) -> SpineNetArch:
    """The network of that name, with another table and other scaling factors where they are given.

    Raises:
        InputError: for an unknown name, a table that is none, and a factor out of range.
    """
    checks.one_of(ARCHITECTURES, 'SpineNet', arch=arch)
    if stem is not None and blocks is None:
        raise InputError(f'SpineNet: stem goes with blocks, got {stem!r} alone')
    own = replace(ARCHITECTURES[arch], **{name: value for name, value in scaling.items() if value is not None})
    if blocks is not None:
        own = replace(own, table=ScalePermuted((2, 2) if stem is None else stem, blocks))
    if own.table.stem[0] < 2:
        raise InputError(f'SpineNet: stem must not begin below level 2, got {list(own.table.stem)}')
    checks.positive_int('SpineNet', endpoint_channels=own.endpoint_channels, block_repeats=own.block_repeats)
    checks.positive('SpineNet', filter_scale=own.filter_scale, alpha=own.alpha)
    return own


def check_graph(own: SpineNetArch, graph: FeatureGraph, out_levels: Sequence[int]) -> None:
    """Raise an ``InputError`` where the graph cannot give the levels, or a block or a width of it cannot be built."""
    whole = all(type(level) is int for level in out_levels)
    if not out_levels or not whole or list(out_levels) != sorted(set(out_levels)):
        raise InputError(f'SpineNet: out_levels must be ascending levels, at least one, got {list(out_levels)}')
    missing = sorted(set(out_levels) - set(graph.output_levels))
    if missing:
        raise InputError(
            f'SpineNet: out_levels asks for level {missing[0]}, the table gives {list(graph.output_levels)}'
        )
    unbuilt = sorted({level for level in graph.levels if level not in BASE_CHANNELS})
    unknown = sorted({block.kind for block in own.table.blocks if block.kind not in EXPANSION})
    if unbuilt or unknown:
        raise InputError(
            f'SpineNet: blocks must be of levels {list(BASE_CHANNELS)} and kinds {list(EXPANSION)}, got '
            f'{unbuilt or unknown}'
        )
    if min(int(BASE_CHANNELS[level] * own.filter_scale) for level in graph.levels) * min(own.alpha, 1) < 1:
        raise InputError(
            f'SpineNet: filter_scale {own.filter_scale} with alpha {own.alpha} leaves a convolution without a channel'
        )


@MODELS.register_module()
class SpineNet(Backbone):
    """Scale-permuted network (SpineNet, arXiv 1912.05027): a feature graph of residual blocks whose last blocks are the
    pyramid; a detector's head reads it without a neck.

    Edges resample by the sizes of the maps, so any image size works. Blocks that nothing reads are not built.

    Args:
        arch: A name of :data:`ARCHITECTURES`.
        blocks: A table instead of the one of ``arch``: ``(level, kind, inputs, output)`` for each block, or a dict of
            these, the stem's blocks counted first.
        stem: Levels of the stem's blocks, for ``blocks``; two of level 2 unless given.
        out_levels: Levels to return, a part of the table's output levels. Blocks that only the others need are not
            built; those that remain keep their names and their part of the stochastic depth.
        filter_scale, block_repeats, alpha, endpoint_channels: Other values than those of ``arch``.
        pool_rule: ``'repeat'``: pools of stride 2, as the Model Garden; ``'single'``: one pool, as tensorflow/tpu.
        padding: One of :data:`~mmlight.layers.arithmetic.PADDINGS`: ``'same-pool'`` for weights of tensorflow/tpu,
            ``'same'`` for those of the Model Garden, ``'symmetric'`` for PyTorch's.
        endpoint_act: Activation after the last convolutions, as the authors'; PyTorch ports have none.
        drop_path_rate: Stochastic depth: the last block is skipped with this probability, the first with almost none.
        dropblock: Config of a layer after each norm of the blocks, e.g. ``dict(type='mmdet.DropBlock', drop_prob=0.1,
            block_size=3)``; mmdet's needs blocks smaller than the coarsest map.
        frozen_stages: ``-1`` trains everything, ``0`` freezes the stem, ``1`` the blocks too, ``2`` all.
        norm_eval: Keep the statistics of every batch norm fixed in training.
        norm_cfg: Normalisation layers.
        act_cfg: Activation.
        init_cfg: mmengine's initialisation config.

    Raises:
        InputError: for an unknown ``arch``, an invalid table, a level that the table does not give, a width of no
            channel, or a value of another type.
    """

    def __init__(  # noqa: PLR0913 (keys of a config)
        self,
        arch: str = '49',
        blocks: Sequence | None = None,
        stem: Sequence[int] | None = None,
        out_levels: Sequence[int] = (3, 4, 5, 6, 7),
        filter_scale: float | None = None,
        block_repeats: int | None = None,
        alpha: float | None = None,
        endpoint_channels: int | None = None,
        pool_rule: str = 'repeat',
        padding: str = 'symmetric',
        endpoint_act: bool = True,
        drop_path_rate: float = 0.0,
        dropblock: dict | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm_cfg: dict = dict(type='BN', eps=1e-3, momentum=0.01),
        act_cfg: dict = dict(type='ReLU'),
        init_cfg: dict | list[dict] | None = dict(
            type='Kaiming', layer='Conv2d', mode='fan_in', nonlinearity='linear', distribution='normal'
        ),
    ):
        out_levels = as_tuple('SpineNet: out_levels', out_levels)
        super().__init__(range(len(out_levels)), frozen_stages, norm_eval, init_cfg)
        self.check_frozen_stages(2)
        checks.rate('SpineNet', drop_path_rate=drop_path_rate)
        checks.one_of(('repeat', 'single'), 'SpineNet', pool_rule=pool_rule)
        scaling = dict(filter_scale=filter_scale, block_repeats=block_repeats, alpha=alpha)
        own = resolve(arch, blocks, stem, endpoint_channels=endpoint_channels, **scaling)
        graph = own.table.graph(prune=True)
        check_graph(own, graph, out_levels)
        widths = {level: int(base * own.filter_scale) for level, base in BASE_CHANNELS.items()}

        self.graph = graph
        layers = Layers(norm_cfg, act_cfg, padding)
        kinds = [own.table.stem_kind] * len(graph.inputs) + [str(node.block) for node in graph.nodes]
        base = [widths[level] for level in graph.levels]
        channels = [width * EXPANSION[kind] for width, kind in zip(base, kinds, strict=True)]

        self.stem = nn.Sequential(layers.conv(3, 64, 7, stride=2), max_pool(padding))
        groups, width, level = [], 64, 2
        outputs = [graph.outputs[graph.output_levels.index(level)] for level in out_levels]
        needed = graph.needed(outputs)
        last_of_stem = max(index for index in needed if index < len(graph.inputs))
        for own_level, own_base in zip(graph.inputs[: last_of_stem + 1], base, strict=False):
            groups.append(
                self._group('bottleneck', width, own_base, own.block_repeats, 2 ** (own_level - level), layers)
            )
            width, level = own_base * EXPANSION['bottleneck'], own_level
        self.stem_blocks = nn.ModuleList(groups)

        def edge(source: int, target: int) -> nn.Module:
            steps = graph.levels[target] - graph.levels[source]
            mid = int(base[source] * own.alpha)
            return SpineResample(channels[source], mid, channels[target], steps, layers, pool_rule == 'single')

        def block(target: int) -> nn.Module:
            rate = drop_path_rate * (target - len(graph.inputs) + 1) / len(graph.nodes)
            group = self._group(
                kinds[target], channels[target], base[target], own.block_repeats, 1, layers, rate, dropblock
            )
            return nn.Sequential(layers.act(), group)

        self.blocks = GraphExecutor(graph, edge, lambda target: SumMerge(), block, outputs)
        self.endpoints = nn.ModuleList(
            layers.conv(channels[i], own.endpoint_channels, 1, act=endpoint_act) for i in outputs
        )
        declare_arithmetic(
            self, {'padding': 'symmetric'}, padding=padding, pool_rule=pool_rule, endpoint_act=endpoint_act
        )
        self.out_channels = (own.endpoint_channels,) * len(outputs)
        self.out_strides = tuple(2**level for level in out_levels)

    @staticmethod
    def _group(
        kind: str,
        in_channels: int,
        width: int,
        repeats: int,
        stride: int,
        layers: Layers,
        drop_path: float = 0.0,
        dropblock: dict | None = None,
    ) -> nn.Module:
        first = SpineBlock(kind, in_channels, width, stride, layers, drop_path, dropblock)
        out_channels = width * EXPANSION[kind]
        others = (SpineBlock(kind, out_channels, width, 1, layers, drop_path, dropblock) for _ in range(repeats - 1))
        return nn.Sequential(first, *others)

    def stages(self) -> list[nn.Module]:
        return [nn.ModuleList([self.stem, self.stem_blocks]), self.blocks, self.endpoints]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """``(N, 3, H, W)`` to ``(N, endpoint_channels, ceil(H / 2 ** l), ceil(W / 2 ** l))`` for each level ``l``."""
        x = self.stem(image)
        features = []
        for group in self.stem_blocks:
            x = group(x)
            features.append(x)
        features += [None] * (len(self.graph.inputs) - len(features))
        return tuple(endpoint(x) for endpoint, x in zip(self.endpoints, self.blocks(features), strict=True))
