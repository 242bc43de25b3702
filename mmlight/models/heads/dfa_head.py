"""DFANet's decoder (arXiv 1904.02216, Fig. 3)."""

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add
from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmlight.errors import InputError
from mmlight.registry import MODELS


@MODELS.register_module()
class DFAHead(BaseDecodeHead):
    """Sums maps of all backbones at the finest one's size and classifies each pixel.

    Each map passes a 1x1 convolution and is enlarged bilinearly. The low-level ones' sum passes a 3x3 convolution, that
    of the high-level ones is added to it, a 1x1 convolution classifies. The topology is the paper's; its FLOPs are
    reproduced by 32 channels and the kernel of 3.

    Args:
        in_channels: Channels of the maps that are read: low-level ones first, each kind from fine to coarse.
        in_index: Positions of these maps in the backbone's output.
        num_low: How many of them are low-level. 0 is the form "HL" of the paper's Table 4, high-level maps only, which
            are summed at four times the size of the first.
        channels: Width of the convolutions.
        dropout_ratio, norm_cfg, kwargs: As in mmseg's ``BaseDecodeHead``.

    Raises:
        InputError: for ``in_channels`` and ``in_index`` of unequal length or ``num_low`` out of range; by ``forward``,
            if the backbone gives fewer maps than ``in_index`` names, or these have other channels.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_index: Sequence[int],
        num_low: int = 3,
        channels: int = 32,
        dropout_ratio: float = 0.0,
        norm_cfg: dict = dict(type='BN'),
        **kwargs,
    ):
        if len(in_channels) != len(in_index):
            raise InputError(f'DFAHead: in_channels has {len(in_channels)} entries, in_index {len(in_index)}')
        if not 0 <= num_low < len(in_index):
            raise InputError(f'DFAHead: num_low must be within 0..{len(in_index) - 1}, got {num_low}')
        super().__init__(
            in_channels=in_channels,
            in_index=in_index,
            channels=channels,
            dropout_ratio=dropout_ratio,
            norm_cfg=norm_cfg,
            input_transform='multiple_select',
            **kwargs,
        )
        reduced = [ConvModule(width, channels, 1, norm_cfg=norm_cfg) for width in in_channels]
        self.low, self.high = nn.ModuleList(reduced[:num_low]), nn.ModuleList(reduced[num_low:])
        self.fuse: Any = ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg) if num_low else None

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """The backbone's maps to logits ``(N, num_classes, h, w)`` of the finest map's size."""
        if len(inputs) <= max(self.in_index):
            raise InputError(f'DFAHead: in_index is {list(self.in_index)}, the backbone gives {len(inputs)} maps')
        maps = self._transform_inputs(inputs)
        found = [x.shape[1] for x in maps]
        if found != list(self.in_channels):
            raise InputError(
                f'DFAHead: in_channels is {list(self.in_channels)}, the maps {list(self.in_index)} of the '
                f"backbone's {len(inputs)} have {found}"
            )
        low, high = maps[: len(self.low)], maps[len(self.low) :]
        if not low:
            height, width = high[0].shape[-2:]
            return self.cls_seg(_sum(self.high, high, (4 * height, 4 * width)))
        size = low[0].shape[-2:]
        return self.cls_seg(self.fuse(_sum(self.low, low, size)) + _sum(self.high, high, size))


def _sum(convs: Iterable[nn.Module], maps: Iterable[Tensor], size: tuple[int, int]) -> Tensor:
    """The maps, each through its convolution and enlarged to ``size``."""
    reduced = (conv(x) for conv, x in zip(convs, maps, strict=True))
    return reduce(add, (x if x.shape[-2:] == size else F.interpolate(x, size, mode='bilinear') for x in reduced))
