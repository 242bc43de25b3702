"""Separable convolution as EfficientDet has it: nothing between depthwise and pointwise."""

from typing import Any

from torch import Tensor, nn


class SeparableConv(nn.Module):
    """3x3 depthwise convolution without bias, then 1x1 (EfficientDet, arXiv 1911.09070): size and stride stay.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        bias: Bias of the 1x1 convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True):
        super().__init__()
        self.dw = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False)
        self.pw: Any = nn.Conv2d(in_channels, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        return self.pw(self.dw(x))
