"""Effective receptive fields: how much of the image a feature really depends on (Luo et al., arXiv 1701.04128)."""

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from mmlight.errors import InputError
from mmlight.tables.allocations import theoretical_fields

SHARE = 0.0455
"""Of the strongest gradient: what is weaker counts as outside; two standard deviations of a Gaussian."""


@dataclass(frozen=True)
class Field:
    """The field of the centre of one feature map.

    Attributes:
        stride: Of the map, in pixels.
        side: Square root of the area where the gradient is above :data:`SHARE` of its maximum, in pixels.
        gradient: (H / cell, W / cell) mean absolute gradient.
        cell: Side of a cell of it, in pixels.
    """

    stride: int
    side: float
    gradient: Tensor
    cell: int


def effective_fields(
    network: nn.Module,
    images: Iterable[Tensor] | None = None,
    size: int = 512,
    samples: int = 4,
    cell: int = 8,
    seed: int = 0,
    batch_statistics: bool = True,
) -> list[Field]:
    """The effective receptive field of each map of a backbone or of a detector's ``extract_feat``.

    The gradient of the sum over the channels of the map's centre with respect to the image, absolute, averaged over the
    image's channels, the images, and cells of pixels.

    Args:
        network: Takes (1, 3, H, W), or has ``extract_feat``; it is not changed.
        images: Normalised images (3, S, S); by default noise.
        size: Side of the noise images, in pixels.
        samples: How many of them.
        seed: Of the noise.
        cell: Side of a cell, in pixels.
        batch_statistics: Normalise with the image's own statistics, as is right for random weights; otherwise with the
            running ones.

    Raises:
        InputError: for a size that is not a multiple of 32 and of the cell, and for less than one sample.
    """
    if min(samples, cell) < 1:
        raise InputError(f'samples and cell: must be at least 1, got {samples} and {cell}')
    if size < 64 or size % 32 or size % cell:
        raise InputError(f'size: must be a multiple of 32 and of the cell ({cell}), 64 at least, got {size}')
    network = copy.deepcopy(network)
    network.train(batch_statistics)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.train(batch_statistics)
    forward = getattr(network, 'extract_feat', network)
    if images is None:
        generator = torch.Generator().manual_seed(seed)
        images = (torch.randn(3, size, size, generator=generator) for _ in range(samples))
    total: list[Tensor] = []
    for image in images:
        image = image[None].requires_grad_()
        maps = forward(image)
        strides = [round(image.shape[2] / x.shape[2]) for x in maps]
        for number, x in enumerate(maps):
            centre = x[0, :, x.shape[2] // 2, x.shape[3] // 2].sum()
            (gradient,) = torch.autograd.grad(centre, image, retain_graph=number + 1 < len(maps))
            gradient = F.avg_pool2d(gradient.abs().mean(1), cell)[0]
            if number < len(total):
                total[number] += gradient
            else:
                total.append(gradient)
    return [
        Field(stride, cell * math.sqrt(float((gradient > SHARE * gradient.max()).sum())), gradient, cell)
        for stride, gradient in zip(strides, total, strict=True)
    ]


def theoretical(network: Any) -> dict[int, int]:
    """Stride -> side of the theoretical field, for the ResNets whose fields are known; else nothing."""
    if getattr(network, 'deep_stem', True) or not hasattr(network, 'stage_blocks') or not hasattr(network, 'block'):
        return {}
    bottleneck = network.block.expansion > 1
    sides = theoretical_fields(tuple(network.stage_blocks), getattr(network, 'block_dilations', None), bottleneck)
    return dict(zip((4, 8, 16, 32), sides, strict=True))


def draw(fields: Mapping[str, Sequence[Field]], path: Path, known: Mapping[str, Mapping[int, int]]) -> None:
    """A picture: a row for each network, a column for each stride; squares show the effective and theoretical side.

    Args:
        fields: Title -> fields.
        path: To write to.
        known: Title -> stride -> theoretical side.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    columns = max(map(len, fields.values()))
    figure = Figure(figsize=(2.6 * columns, 2.8 * len(fields)), layout='constrained')
    grid = figure.subplots(len(fields), columns, squeeze=False)
    for (title, row), line in zip(fields.items(), grid, strict=True):
        for axes in line:
            axes.set_axis_off()
        for field, axes in zip(row, line, strict=False):
            size = field.gradient.shape[0]
            scale = (field.gradient / field.gradient.max()).sqrt()
            axes.imshow(scale, cmap='magma', vmin=0, vmax=1, extent=(0, 1, 0, 1))
            for side, style in ((field.side, '-'), (known.get(title, {}).get(field.stride), ':')):
                if side:
                    share = min(side / (size * field.cell), 0.995)
                    corner = (0.5 - share / 2,) * 2
                    axes.add_patch(Rectangle(corner, share, share, fill=False, color='w', linestyle=style))
            axes.set_title(f'{title}\nstride {field.stride}: {field.side:.0f}', fontsize=9)
    figure.savefig(path, dpi=100)
