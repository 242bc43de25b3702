"""The four guidelines for networks that are fast, not only small, as formulas.

Source: ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design, arXiv 1807.11164, section 2.

The *memory access cost* of an operator is the number of elements that it reads and writes, nothing being kept between
operators. ``P`` are input positions (batch x height x width), ``Q`` output positions, ``c1`` and ``c2`` channels, ``g``
groups, ``k`` positions of the kernel:

* multiply-adds ``B = Q k c1 c2 / g``, access cost ``P c1 + Q c2 + k c1 c2 / g``;
* with the same ``B`` and ``g`` it is least for equally expensive sides: ``2 sqrt(P Q c1 c2) + k c1 c2 / g`` (G1);
* without groups ``c1 c2`` can be ``g`` times smaller: ``2 sqrt(P Q c1 c2 / g) + k c1 c2 / g`` (G2). For a 1x1
  convolution of stride 1 this is the paper's bound ``2 sqrt(hw B) + B / hw``.

So the cost over the bound is the product of a factor for the widths and one for the groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MARGIN = 1.05
"""Above this factor a layer breaks G1 or G2. Widths of 1:2 cost 1.06, and 12 % of the speed in the paper's table 1."""

REGULAR_FRAGMENTS = 3
"""More convolutions and poolings than that in a block break G3: regular structures such as ResNet have two or three,
NASNet-A has 13 (section 2, G3)."""


@dataclass(frozen=True)
class Convolution:
    """Sizes of a convolution.

    Attributes:
        c1, c2: channels in and out.
        groups: groups.
        kernel: height and width.
        positions: input and output positions of the batch.
        size: height and width of the output.
    """

    c1: int
    c2: int
    groups: int
    kernel: tuple[int, ...]
    positions: tuple[int, int]
    size: tuple[int, ...]

    @property
    def kind(self) -> str:
        """depthwise, grouped, 1x1 or dense."""
        if 1 < self.groups == self.c1:
            return 'depthwise'
        if self.groups > 1:
            return 'grouped'
        return '1x1' if self.is_pointwise else 'dense'

    @property
    def is_pointwise(self) -> bool:
        """Whether the kernel has one position."""
        return math.prod(self.kernel) == 1

    @property
    def weights(self) -> int:
        """Elements of the kernel."""
        return math.prod(self.kernel) * self.c1 * self.c2 // self.groups

    @property
    def accesses(self) -> int:
        """Memory access cost in elements, without a bias."""
        before, after = self.positions
        return before * self.c1 + after * self.c2 + self.weights

    @property
    def width_factor(self) -> float:
        """G1: the cost over that of the best widths with the same groups and multiply-adds."""
        return self.accesses / (2 * math.sqrt(math.prod(self.positions) * self.c1 * self.c2) + self.weights)

    @property
    def group_factor(self) -> float:
        """G2: the cost of the best widths with these groups over the bound."""
        return self.accesses / self.width_factor / self.bound

    @property
    def bound(self) -> float:
        """Least memory access cost, in elements, of a convolution of this kernel with as many multiply-adds."""
        return 2 * math.sqrt(math.prod(self.positions) * self.c1 * self.c2 / self.groups) + self.weights

    @property
    def breaks(self) -> tuple[str, ...]:
        """The guidelines among G1, G2 and G4 (depthwise, which reads and writes as much as it computes) it breaks."""
        if self.kind == 'depthwise':
            return ('G4',)
        found = ['G1'] if self.is_pointwise and self.width_factor > MARGIN else []
        return (*found, 'G2') if self.group_factor > MARGIN else tuple(found)

    def __str__(self) -> str:
        groups = f', g {self.groups}' if self.groups > 1 else ''
        return f'{self.c1}->{self.c2}, {"x".join(map(str, self.kernel))}{groups}, to {"x".join(map(str, self.size))}'
