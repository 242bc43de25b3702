"""The inverted residual block of MobileNetV2 and EfficientNet."""

from mmcv.cnn import ConvModule
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """``x * sigmoid(conv(act(conv(mean over space of x))))`` (arXiv 1709.01507), both convolutions 1x1 with bias.

    Args:
        channels: Channels of the map.
        squeezed: Channels in between.
        act_cfg: Activation in between.
    """

    def __init__(self, channels: int, squeezed: int, act_cfg: dict):
        super().__init__()
        self.conv1 = ConvModule(channels, squeezed, 1, act_cfg=act_cfg)
        self.conv2 = ConvModule(squeezed, channels, 1, act_cfg=dict(type='Sigmoid'))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv2(self.conv1(x.mean((2, 3), keepdim=True)))


class MBConv(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection without activation, shortcut where the shapes agree
    (MobileNetV2, arXiv 1801.04381, Fig. 4d). Named as in mmdet's ``InvertedResidual``.

    Args:
        in_channels: Channels that come in.
        out_channels: Channels that go out.
        expand_ratio: Expansion; with 1 the first convolution is left out.
        kernel_size: Of the depthwise convolution.
        stride: Of the depthwise convolution.
        se_channels: Width of a squeeze-and-excitation on the expanded map; 0 for none.
        dilation: Of the depthwise convolution.
        drop_path: Probability that a sample skips the block in training, where it has a shortcut.
        act_cfg: Activation.
        layers: ``conv_cfg`` and ``norm_cfg`` of all convolutions.
    """

    def __init__(  # noqa: PLR0913 (a block's row of a table)
        self,
        in_channels: int,
        out_channels: int,
        expand_ratio: int,
        kernel_size: int,
        stride: int,
        se_channels: int = 0,
        dilation: int = 1,
        drop_path: float = 0.0,
        act_cfg: dict = dict(type='ReLU6'),
        **layers: dict | None,
    ):
        super().__init__()
        width = in_channels * expand_ratio
        self.shortcut = stride == 1 and in_channels == out_channels
        self.expand_conv = (
            nn.Identity() if expand_ratio == 1 else ConvModule(in_channels, width, 1, act_cfg=act_cfg, **layers)
        )
        padding = dilation * (kernel_size // 2)
        self.depthwise_conv = ConvModule(
            width, width, kernel_size, stride, padding, dilation, groups=width, act_cfg=act_cfg, **layers
        )
        self.se = SqueezeExcite(width, se_channels, act_cfg) if se_channels else nn.Identity()
        self.linear_conv = ConvModule(width, out_channels, 1, act_cfg=None, **layers)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def project(self, expanded: Tensor) -> Tensor:
        """What follows the expansion, up to the shortcut."""
        return self.linear_conv(self.se(self.depthwise_conv(expanded)))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, H / stride, W / stride)``, rounded up."""
        result = self.project(self.expand_conv(x))
        return x + self.drop_path(result) if self.shortcut else result
