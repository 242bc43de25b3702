"""The light Xception block that DFANet and BiSeNet share."""

from typing import Any

import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from torch import Tensor, nn

from mmlight.registry import WEIGHT_INITIALIZERS

EXPANSION = 4
"""Channels that leave a block for each that its inner convolutions have (DFANet, arXiv 1904.02216, Table 1)."""


def separable_conv(
    in_channels: int, out_channels: int, norm_cfg: dict, stride: int = 1, act: bool = True
) -> DepthwiseSeparableConvModule:
    """3x3 depthwise convolution with the stride, 1x1 convolution, norm, ReLU; no bias, nothing between the two."""
    return DepthwiseSeparableConvModule(
        in_channels,
        out_channels,
        3,
        stride,
        padding=1,
        bias=False,  # without a norm behind it the depthwise convolution would get one
        dw_norm_cfg=None,
        dw_act_cfg=None,
        norm_cfg=norm_cfg,
        act_cfg=dict(type='ReLU') if act else None,
    )


class XceptionBlock(nn.Module):
    """Three separable convolutions of widths 1:1:4 and a shortcut; ReLU behind the sum.

    DFANet, arXiv 1904.02216, Table 1; Xception39 of BiSeNet, arXiv 1808.00897, has the same block with another
    shortcut. The stride is on the first convolution. The shortcut is the identity where the shapes agree.

    Args:
        in_channels: Channels that come in.
        mid_channels: Channels of the first two convolutions; four times as many go out.
        stride: 1 or 2.
        separable_shortcut: The shortcut that changes shapes is a separable convolution (Xception39), not a 1x1
            convolution with norm (DFANet).
        norm_cfg: Normalisation layers.

    Attributes:
        out_channels: Channels that go out.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        stride: int = 1,
        separable_shortcut: bool = False,
        norm_cfg: dict = dict(type='BN'),
    ):
        super().__init__()
        self.out_channels = EXPANSION * mid_channels
        self.convs = nn.Sequential(
            separable_conv(in_channels, mid_channels, norm_cfg, stride),
            separable_conv(mid_channels, mid_channels, norm_cfg),
            separable_conv(mid_channels, self.out_channels, norm_cfg, act=False),
        )
        if stride == 1 and in_channels == self.out_channels:
            self.shortcut = nn.Identity()
        elif separable_shortcut:
            self.shortcut = separable_conv(in_channels, self.out_channels, norm_cfg, stride, act=False)
        else:
            self.shortcut = ConvModule(in_channels, self.out_channels, 1, stride, norm_cfg=norm_cfg, act_cfg=None)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, H / stride, W / stride)``, rounded up."""
        return F.relu(self.convs(x) + self.shortcut(x))


def xception_stage(
    in_channels: int,
    mid_channels: int,
    blocks: int,
    separable_shortcut: bool = False,
    norm_cfg: dict = dict(type='BN'),
) -> nn.Sequential:
    """A block with stride 2 and ``blocks - 1`` more; arguments as in :class:`XceptionBlock`."""
    first = XceptionBlock(in_channels, mid_channels, 2, separable_shortcut, norm_cfg)
    others = (XceptionBlock(first.out_channels, mid_channels, norm_cfg=norm_cfg) for _ in range(blocks - 1))
    return nn.Sequential(first, *others)


@WEIGHT_INITIALIZERS.register_module()
class ZeroResidual:
    """Initialiser for a network's ``init_cfg``: each :class:`XceptionBlock` starts as its shortcut.

    The last norm's weight of every block is zero (Goyal et al., arXiv 1706.02677, Sec. 5.1, there for ResNets), so that
    a network of many blocks learns from the first iterations on. Neither paper that uses the block says so: configs of
    short schedules ask for it.
    """

    def __call__(self, module: nn.Module) -> None:
        for block in module.modules():
            if isinstance(block, XceptionBlock):
                last: Any = block.convs[-1]
                nn.init.zeros_(last.pointwise_conv.norm.weight)
