"""ShuffleNetV2 (arXiv 1807.11164) and its 5x5 descendant SNet (ThunderNet, arXiv 1903.11752, Table 1).

Two dialects of the network exist whose weights have equal shapes and compute different functions:

* torchvision and mmpretrain: the first unit of a stage gives half of the channels to each branch
  (``first_block='half'``); a unit splits its input in halves and shuffles its output
  (``shuffle_mode='interleave'``).
* the authors (megvii's ShuffleNet-Series, the SNet release): the first unit's projection keeps the input's channels
  (``first_block='keep'``); a unit takes the even channels as identity and the odd ones as input, and does not
  shuffle (``shuffle_mode='parity'``).

A checkpoint carries its dialect; loading it into a network of the other dialect is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.layers.foreign_weights import accept_foreign_weights
from mmlight.models.backbones.staged import StagedBackbone
from mmlight.registry import MODELS


@dataclass(frozen=True)
class ShuffleV2Table:
    """Channels and units of a ShuffleNetV2-like network."""

    stem: int
    stages: tuple[tuple[int, int], ...]  # (channels, units)
    final: int | None  # channels of the last 1x1 convolution
    kernel: int = 3  # of the depthwise convolutions
    leading_depthwise: bool = False  # one more 3x3 depthwise convolution at the head of each unit's branch ("V2*")


def _v2(channels: tuple[int, int, int], final: int) -> ShuffleV2Table:
    return ShuffleV2Table(24, tuple(zip(channels, (4, 8, 4), strict=True)), final)


SHUFFLENET_V2 = {  # width factor -> table; arXiv 1807.11164, Table 5
    0.5: _v2((48, 96, 192), 1024),
    1.0: _v2((116, 232, 464), 1024),
    1.5: _v2((176, 352, 704), 1024),
    2.0: _v2((244, 488, 976), 2048),
}

SNETS = {  # arXiv 1903.11752, Table 1
    49: ShuffleV2Table(24, ((60, 4), (120, 8), (240, 4)), 512, kernel=5),
    146: ShuffleV2Table(24, ((132, 4), (264, 8), (528, 4)), None, kernel=5),
    535: ShuffleV2Table(48, ((248, 4), (496, 8), (992, 4)), None, kernel=5),
}


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of ``groups`` equal groups: ``[0, C/g, 2C/g, ..., 1, C/g + 1, ...]``."""
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class ShuffleUnit(nn.Module):
    """One unit (arXiv 1807.11164, Fig. 3c and 3d): identity or projection beside 1x1, depthwise, 1x1.

    Args:
        in_channels: Input channels.
        out_channels: Output channels, even; equal to ``in_channels`` unless the unit is the first.
        first: First unit of a stage: both branches get all channels, the projection stands for the identity.
        stride: Stride of the depthwise convolutions, 1 unless the unit is the first.
        dilation: Dilation of the depthwise convolutions.
        table: The network's kernel and leading depthwise convolutions.
        keep: The projection keeps ``in_channels`` instead of giving half of the output.
        parity: Split by even and odd channels, without a shuffle.
        norm_cfg: Normalisation layer.
    """

    def __init__(  # noqa: PLR0913 (where a unit stands, and its row of the table)
        self,
        in_channels: int,
        out_channels: int,
        first: bool,
        stride: int,
        dilation: int,
        table: ShuffleV2Table,
        keep: bool,
        parity: bool,
        norm_cfg: dict,
    ):
        super().__init__()
        self.parity = parity
        half = out_channels // 2
        projected = in_channels if keep and first else half

        def pointwise(inputs, outputs):
            return ConvModule(inputs, outputs, 1, norm_cfg=norm_cfg)

        def depthwise(channels, kernel=table.kernel, stride=stride):
            padding = dilation * (kernel // 2)
            layers = dict(groups=channels, norm_cfg=norm_cfg, act_cfg=None)
            return ConvModule(channels, channels, kernel, stride, padding, dilation, **layers)

        active = in_channels if first else half
        leading = [depthwise(active, kernel=3, stride=1)] if table.leading_depthwise else []
        self.branch2 = nn.Sequential(
            *leading, pointwise(active, half), depthwise(half), pointwise(half, out_channels - projected)
        )
        self.branch1 = None
        if first:
            self.branch1 = nn.Sequential(depthwise(in_channels), pointwise(in_channels, projected))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, ceil(H / stride), ceil(W / stride))``."""
        if self.branch1 is not None:
            x = torch.cat([self.branch1(x), self.branch2(x)], 1)
        elif self.parity:
            x = torch.cat([x[:, 0::2], self.branch2(x[:, 1::2])], 1)
        else:
            identity, active = x.chunk(2, 1)
            x = torch.cat([identity, self.branch2(active)], 1)
        return x if self.parity else channel_shuffle(x, 2)


class ShuffleV2Backbone(StagedBackbone):
    """Executor of a :class:`ShuffleV2Table`; see :class:`ShuffleNetV2` and :class:`SNet` for the arguments.

    Module names follow mmpretrain's ShuffleNetV2, so that its weights load as they are.
    """

    def __init__(
        self,
        table: ShuffleV2Table,
        first_block: str,
        shuffle_mode: str,
        norm_cfg: dict = dict(type='BN'),
        **kwargs: Any,
    ):
        def unit(stage, number, in_channels, out_channels, stride, dilation):
            keep, parity = first_block == 'keep', shuffle_mode == 'parity'
            return ShuffleUnit(
                in_channels, out_channels, number == 0, stride, dilation, table, keep, parity, norm_cfg=norm_cfg
            )

        super().__init__(table.stem, True, table.stages, unit, table.final, norm_cfg, **kwargs)
        accept_foreign_weights(self, 'ShuffleNetV2', first_block=first_block, shuffle_mode=shuffle_mode)


@MODELS.register_module()
class ShuffleNetV2(ShuffleV2Backbone):
    """ShuffleNetV2 (arXiv 1807.11164, Table 5).

    Args:
        widen_factor: 0.5, 1.0, 1.5 or 2.0.
        first_block: ``'half'`` or ``'keep'``, see the module's text.
        shuffle_mode: ``'interleave'`` or ``'parity'``.
        kernel_size: Kernel of the depthwise convolutions: 3, or 5 as in SNet.
        leading_depthwise: One more 3x3 depthwise convolution at the head of each unit's branch: the paper's detection
            variant, ShuffleNetV2*.
        kwargs: As in :class:`~mmlight.models.backbones.staged.StagedBackbone`. ``out_indices``: 0, 1, 2 for stages 2,
            3, 4 (strides 8, 16, 32; the default), 3 for the 1x1 ``conv5`` (stride 32).

    Raises:
        InputError: for a width without a published table, or an argument out of range.
    """

    def __init__(
        self,
        widen_factor: float = 1.0,
        first_block: str = 'half',
        shuffle_mode: str = 'interleave',
        kernel_size: int = 3,
        leading_depthwise: bool = False,
        **kwargs: Any,
    ):
        checks.one_of(SHUFFLENET_V2, 'ShuffleNetV2', widen_factor=widen_factor)
        checks.one_of((3, 5), 'ShuffleNetV2', kernel_size=kernel_size)
        table = replace(SHUFFLENET_V2[widen_factor], kernel=kernel_size, leading_depthwise=leading_depthwise)
        super().__init__(table, first_block, shuffle_mode, **kwargs)


@MODELS.register_module()
class SNet(ShuffleV2Backbone):
    """SNet (ThunderNet, arXiv 1903.11752, Table 1): ShuffleNetV2 with 5x5 depthwise convolutions.

    Args:
        arch: 49, 146 or 535; or a table of one's own as a dict of :class:`ShuffleV2Table`'s fields.
        out_indices: 0, 1, 2 for stages 2, 3, 4 (strides 8, 16, 32), and 3 for SNet49's 512-channel ``conv5``.
            ``None``: the detector's C4 (stride 16) and C5 (stride 32: ``conv5`` where there is one, else stage 4).
        first_block, shuffle_mode: As in :class:`ShuffleNetV2`. The authors' weights are ``'keep'`` and ``'parity'``.
        kwargs: As in :class:`~mmlight.models.backbones.staged.StagedBackbone`.

    Raises:
        InputError: for another ``arch``, or an argument out of range.
    """

    def __init__(
        self,
        arch: int | dict = 49,
        out_indices: Sequence[int] | None = None,
        first_block: str = 'half',
        shuffle_mode: str = 'interleave',
        **kwargs: Any,
    ):
        if isinstance(arch, dict):
            table = ShuffleV2Table(**arch)
        elif arch in SNETS:
            table = SNETS[arch]
        else:
            raise InputError(f'SNet: arch must be one of {list(SNETS)} or a table, got {arch!r}')
        if out_indices is None:
            out_indices = (1, 2 if table.final is None else 3)
        super().__init__(table, first_block, shuffle_mode, out_indices=out_indices, **kwargs)
