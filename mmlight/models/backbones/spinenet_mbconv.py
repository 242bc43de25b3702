"""Mobile SpineNets: scale-permuted networks of inverted residual blocks (arXiv 1912.05027, App. A)."""

from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_activation_layer
from torch import Tensor, nn

from mmlight import checks
from mmlight.layers import GraphExecutor, MBConv, SumMerge
from mmlight.layers.arithmetic import conv_cfg_of, declare_arithmetic
from mmlight.models.backbones.base import Backbone
from mmlight.registry import MODELS
from mmlight.tables.scale_permuted import SPINENET_MOBILE

BASE_CHANNELS = {0: 8, 1: 16, 2: 24, 3: 40, 4: 80, 5: 112, 6: 112, 7: 112}
"""Channels by level; 0 is the stem's convolution (tensorflow/tpu, spinenet_mbconv.py)."""

EXPAND_RATIO = 6
SE_RATIO = 0.2


@dataclass(frozen=True)
class MobileArch:
    """Scale of a mobile SpineNet.

    Attributes:
        filter_scale: Factor of :data:`BASE_CHANNELS`, the product truncated.
        endpoint_channels: Channels of the maps that come out.
    """

    filter_scale: float
    endpoint_channels: int


ARCHITECTURES = {'49XS': MobileArch(0.6, 24), '49S': MobileArch(0.65, 40), '49': MobileArch(1.0, 48)}


class MobileResample(nn.Module):
    """An edge: depthwise 3x3 convolutions with stride 2, or nearest neighbour; then 1x1 and norm.

    Args:
        in_channels: Channels of the parent.
        out_channels: Channels of the target.
        steps: Levels from the parent up to the target; negative: down.
        act_cfg: Activation.
        layers: ``conv_cfg`` and ``norm_cfg``.
    """

    def __init__(self, in_channels: int, out_channels: int, steps: int, act_cfg: dict, **layers: dict | None):
        super().__init__()
        depthwise = dict(groups=in_channels, act_cfg=act_cfg, **layers)
        self.down = nn.Sequential(
            *(ConvModule(in_channels, in_channels, 3, stride=2, padding=1, **depthwise) for _ in range(steps))
        )
        self.expand = ConvModule(in_channels, out_channels, 1, act_cfg=None, **layers)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        x = self.down(x)
        if x.shape[-2:] != tuple(size):
            x = F.interpolate(x, size=size, mode='nearest')
        return self.expand(x)


@MODELS.register_module()
class SpineNetMBConv(Backbone):
    """Mobile SpineNet-49XS, 49S and 49 (SpineNet, arXiv 1912.05027, App. A): SpineNet-49's wiring with another stem,
    inverted residual blocks with squeeze-and-excitation, and depthwise resampling. Any image size works.

    Args:
        arch: ``'49XS'``, ``'49S'`` or ``'49'``.
        padding: ``'symmetric'`` as tensorflow/tpu, ``'same'`` as the Model Garden.
        drop_path_rate: Stochastic depth: the last block is skipped with this probability, the first with almost none.
        frozen_stages: ``-1`` trains everything, ``0`` freezes the stem, ``1`` the blocks too, ``2`` all.
        norm_eval: Keep the statistics of every batch norm fixed in training.
        norm_cfg: Normalisation layers.
        act_cfg: Activation.
        init_cfg: mmengine's initialisation config.

    Raises:
        InputError: for an unknown ``arch`` or a value that is not allowed.
    """

    def __init__(
        self,
        arch: str = '49',
        padding: str = 'symmetric',
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm_cfg: dict = dict(type='BN', eps=1e-3, momentum=0.01),
        act_cfg: dict = dict(type='SiLU', inplace=False),
        init_cfg: dict | list[dict] | None = dict(type='Kaiming', layer='Conv2d'),
    ):
        graph = SPINENET_MOBILE.graph()
        super().__init__(range(len(graph.outputs)), frozen_stages, norm_eval, init_cfg)
        self.check_frozen_stages(2)
        checks.rate('SpineNetMBConv', drop_path_rate=drop_path_rate)
        checks.one_of(ARCHITECTURES, 'SpineNetMBConv', arch=arch)
        self.graph = graph
        scale, endpoint = ARCHITECTURES[arch].filter_scale, ARCHITECTURES[arch].endpoint_channels
        widths = {level: int(base * scale) for level, base in BASE_CHANNELS.items()}
        layers: dict[str, Any] = dict(
            conv_cfg=conv_cfg_of('SpineNetMBConv', padding), norm_cfg=norm_cfg, act_cfg=act_cfg
        )

        def mbconv(in_channels: int, out_channels: int, stride: int = 1, drop_path: float = 0.0) -> MBConv:
            squeezed = max(1, int(in_channels * SE_RATIO))
            return MBConv(in_channels, out_channels, EXPAND_RATIO, 3, stride, squeezed, drop_path=drop_path, **layers)

        self.stem = ConvModule(3, widths[0], 3, stride=2, padding=1, **layers)
        self.stem_blocks = nn.ModuleList([mbconv(widths[0], widths[1]), mbconv(widths[1], widths[2], stride=2)])

        def edge(source: int, target: int) -> nn.Module:
            low, high = graph.levels[source], graph.levels[target]
            return MobileResample(widths[low], widths[high], high - low, **layers)

        def block(target: int) -> nn.Module:
            width = widths[graph.levels[target]]
            rate = drop_path_rate * (target - len(graph.inputs) + 1) / len(graph.nodes)
            return nn.Sequential(build_activation_layer(act_cfg), mbconv(width, width, drop_path=rate))

        self.blocks = GraphExecutor(graph, edge, lambda target: SumMerge(), block)
        self.endpoints = nn.ModuleList(
            ConvModule(widths[level], endpoint, 1, **layers) for level in graph.output_levels
        )
        declare_arithmetic(self, {'padding': 'symmetric'}, padding=padding)
        self.out_channels = (endpoint,) * len(graph.outputs)
        self.out_strides = tuple(2**level for level in graph.output_levels)

    def stages(self) -> list[nn.Module]:
        return [nn.ModuleList([self.stem, self.stem_blocks]), self.blocks, self.endpoints]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """``(N, 3, H, W)`` to ``(N, endpoint_channels, ceil(H / 2 ** l), ceil(W / 2 ** l))`` for levels 3 to 7."""
        x = self.stem(image)
        features = []
        for block in self.stem_blocks:
            x = block(x)
            features.append(x)
        return tuple(end(x) for end, x in zip(self.endpoints, self.blocks(features), strict=True))
