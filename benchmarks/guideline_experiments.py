"""The experiments behind the guidelines G1 to G4, as tables, and the networks to repeat them with.

Source: ShuffleNet V2, arXiv 1807.11164, tables 1 to 4: ten equal blocks on a map of 56 x 56, all variants of a table
with the same multiply-adds. Published speeds are batches a second on a GTX 1080Ti and images a second on a Snapdragon
810; here are those of the smallest size (x1), GPU channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce

import torch
from torch import Tensor, nn

BLOCKS, SIDE = 10, 56


@dataclass(frozen=True)
class Variant:
    """A row of one of the tables.

    Attributes:
        name: what the row's first column says.
        block: makes one block.
        channels: of the block's input and output.
        gpu, arm: published speeds.
    """

    name: str
    block: Callable[[], nn.Module]
    channels: int
    gpu: float
    arm: float

    def build(self) -> nn.Sequential:
        """The network: (N, ``channels``, H, W) in and out."""
        return nn.Sequential(*(self.block() for _ in range(BLOCKS)))

    def image(self, batch: int = 1) -> Tensor:
        """Random input for it."""
        return torch.rand(batch, self.channels, SIDE, SIDE)


def pointwise(c1: int, c2: int, groups: int = 1) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    return nn.Conv2d(c1, c2, 1, groups=groups, bias=False)


def there_and_back(c1: int, c2: int) -> nn.Sequential:
    """G1: c1 to c2 channels and back."""
    return nn.Sequential(pointwise(c1, c2), pointwise(c2, c1))


class Fragments(nn.Module):
    """G3: ``serial`` 1x1 convolutions in a row, or the sum of ``parallel`` of them side by side."""

    def __init__(self, channels: int, serial: int = 1, parallel: int = 1):
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(pointwise(channels, channels) for _ in range(serial))) for _ in range(parallel)
        )

    def forward(self, x: Tensor) -> Tensor:
        return reduce(torch.add, (branch(x) for branch in self.branches))


class Bottleneck(nn.Module):
    """G4: ResNet's bottleneck, 4c to c channels and back, with or without its element-wise operators."""

    def __init__(self, channels: int, relu: bool, shortcut: bool):
        super().__init__()
        wide = 4 * channels
        self.convs = nn.ModuleList(
            [
                pointwise(wide, channels),
                nn.Conv2d(channels, channels, 3, padding=1, bias=False),
                pointwise(channels, wide),
            ]
        )
        self.activate = nn.ReLU(inplace=True) if relu else nn.Identity()
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        narrow, conv, widen = self.convs
        y = widen(self.activate(conv(self.activate(narrow(x)))))
        return self.activate(x + y if self.shortcut else y)


def _g1(ratio: str, c1: int, c2: int, gpu: float, arm: float) -> Variant:
    return Variant(f'c1:c2 = {ratio}, {c1} and {c2}', partial(there_and_back, c1, c2), c1, gpu, arm)


def _g2(groups: int, c: int, gpu: float, arm: float) -> Variant:
    return Variant(f'{groups} groups, {c} channels', partial(pointwise, c, c, groups), c, gpu, arm)


def _g3(name: str, serial: int, parallel: int, gpu: float, arm: float) -> Variant:
    c = round(128 / math.sqrt(serial * parallel))
    return Variant(f'{name}, {c} channels', partial(Fragments, c, serial, parallel), c, gpu, arm)


def _g4(name: str, relu: bool, shortcut: bool, gpu: float, arm: float) -> Variant:
    return Variant(name, partial(Bottleneck, 32, relu, shortcut), 4 * 32, gpu, arm)


EXPERIMENTS: dict[str, tuple[Variant, ...]] = {
    'G1': (
        _g1('1:1', 128, 128, 1480, 76.2),
        _g1('1:2', 90, 180, 1296, 72.9),
        _g1('1:6', 52, 312, 876, 69.1),
        _g1('1:12', 36, 432, 748, 57.6),
    ),
    'G2': (_g2(1, 128, 2451, 40.0), _g2(2, 180, 1725, 35.0), _g2(4, 256, 1026, 32.9), _g2(8, 360, 634, 27.8)),
    'G3': (
        _g3('1 fragment', 1, 1, 2446, 40.2),
        _g3('2 in a row', 2, 1, 1790, 38.6),
        _g3('4 in a row', 4, 1, 752, 38.4),
        _g3('2 side by side', 1, 2, 1537, 33.4),
        _g3('4 side by side', 1, 4, 691, 35.0),
    ),
    'G4': (
        _g4('ReLU and shortcut', True, True, 2427, 56.7),
        _g4('ReLU only', True, False, 2647, 61.9),
        _g4('shortcut only', False, True, 2672, 57.3),
        _g4('neither', False, False, 2842, 66.3),
    ),
}
"""Guideline -> table. The paper does not say how fragments side by side are joined (here: added), nor what G4's ``c``
means (here: the narrow width, with which its multiply-adds and its speed are those of the other tables)."""
