"""Pooling and convolution with TensorFlow's SAME padding, and resizing of pyramid features.

For size ``n``, kernel ``k`` and stride ``s`` SAME gives ``m = ceil(n / s)`` cells and pads ``max((m - 1) * s + k - n,
0)``, the larger half after: 0 before and 1 after for even ``n``, ``k = 3``, ``s = 2``.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.utils import _pair

from mmlight.registry import MODELS


def constant(size: Sequence[int]) -> Sequence[int]:
    """Height and width as numbers while ``torch.onnx.export(..., dynamo=False)`` traces, where they are tensors.

    ONNX has the windows of pools and convolutions as constants. So a network that is exported with dynamic axes, at
    multiples of its largest stride, runs at other multiples only. Anywhere else sizes stay what they are, and traced or
    compiled networks run at all.
    """
    if torch.jit.is_tracing() and torch.onnx.is_in_onnx_export():
        return tuple(map(int, size))
    return size


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Cells before and after an axis of ``size`` cells."""
    total = max(((size - 1) // stride) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def max_pool_same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Max pooling with SAME padding; padded cells never win.

    Args:
        x: ``(N, C, H, W)``.
        kernel: Height and width of the window, at least ``stride``.
        stride: Steps down and to the right.

    Returns:
        ``(N, C, ceil(H / stride), ceil(W / stride))``.
    """
    # ceil_mode lets the last window run over the edge: what SAME pads after need not be written out
    before = [same_padding(size, k, s)[0] for size, k, s in zip(constant(x.shape[-2:]), kernel, stride, strict=True)]
    return F.max_pool2d(x, kernel, stride, padding=before, ceil_mode=True)


def resize(x: Tensor, size: tuple[int, int], overlap: int) -> Tensor:
    """Bring a feature to ``size``: max pooling where it is larger, nearest neighbour where it is smaller.

    Args:
        x: ``(N, C, H, W)``.
        size: Height and width wanted.
        overlap: Cells that neighbouring pooling windows share: 1 in EfficientDet, 0 in NAS-FPN.
    """
    height, width = constant(x.shape[-2:])
    wanted = constant(size)
    if height > wanted[0] or width > wanted[1]:
        stride = (max((height - 1) // wanted[0] + 1, 1), max((width - 1) // wanted[1] + 1, 1))
        # an axis of one cell stays as it is
        x = max_pool_same(x, tuple(s + overlap if s > 1 else 1 for s in stride), stride)
    if x.shape[-2:] != tuple(size):
        x = F.interpolate(x, size=size, mode='nearest')
    return x


class MaxPool2dSame(nn.MaxPool2d):
    """``nn.MaxPool2d`` with SAME padding; at even sizes a window of 3 and stride 2 pads behind only."""

    def forward(self, x: Tensor) -> Tensor:
        return max_pool_same(x, _pair(self.kernel_size), _pair(self.stride))


class Resize(nn.Module):
    """An edge of a feature graph without parameters; see :func:`resize`."""

    def __init__(self, overlap: int):
        super().__init__()
        self.overlap = overlap

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        return resize(x, size, self.overlap)


@MODELS.register_module()
class Conv2dSame(nn.Conv2d):
    """``nn.Conv2d`` with SAME padding, for weights trained in TensorFlow: ``conv_cfg=dict(type='mmlight.Conv2dSame')``.

    The same function as mmcv's ``Conv2dAdaptivePadding``. Where both sides are padded alike, as always with stride 1,
    the convolution pads by itself instead of by a copy of its input.
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, groups=1, bias=True):
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)

    def forward(self, x: Tensor) -> Tensor:
        padding = [
            same_padding(size, (k - 1) * d + 1, s)
            for size, k, s, d in zip(constant(x.shape[-2:]), self.kernel_size, self.stride, self.dilation, strict=True)
        ]
        (top, bottom), (left, right) = padding
        if top == bottom and left == right:
            both = (top, left)
        else:
            both = (0, 0)
            x = F.pad(x, (left, right, top, bottom))
        return F.conv2d(x, self.weight, self.bias, self.stride, both, self.dilation, self.groups)
