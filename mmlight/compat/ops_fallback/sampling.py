"""What the operators that sample between pixels share: bilinear sampling, and gradients by PyTorch itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def in_float(tensor: Tensor) -> Tensor:
    """Half precision in single; the rest as it is."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def gradients(function: Callable[..., Tensor], inputs: Sequence[Tensor], grad_output: Tensor) -> tuple[Tensor, ...]:
    """Gradients of ``inputs``, whose function is written in differentiable operators, also where autograd is off."""
    with torch.enable_grad():
        leaves = [in_float(tensor.detach()).requires_grad_() for tensor in inputs]
        output = function(*leaves)
        return torch.autograd.grad(output, leaves, grad_output.to(output.dtype), materialize_grads=True)


def sample(planes: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Bilinear values at pixel coordinates; whatever lies outside of the planes is 0.

    Args:
        planes: (N, C, H, W).
        y: (N, P), pixel centres at whole numbers.
        x: like ``y``.

    Returns:
        (N, C, P).
    """
    # grid_sample counts from -1 to 1. With sides that are powers of two whole pixels stay whole through that, so that
    # derivatives at them, which are those to the right, are the compiled operators'.
    sides = [1 << (side - 1).bit_length() for side in planes.shape[2:]]
    padded = F.pad(planes, (0, sides[1] - planes.size(3), 0, sides[0] - planes.size(2)))
    grid = torch.stack([(2 * x + 1) / sides[1] - 1, (2 * y + 1) / sides[0] - 1], -1)
    return F.grid_sample(padded, grid[:, None], 'bilinear', 'zeros', align_corners=False)[:, :, 0]


def pool(features: Tensor, image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Mean of the samples of every bin, as RoI align takes them: up to one pixel outside counts as the border.

    Args:
        features: (N, C, H, W).
        image: (R,) number of each region's image.
        y: (R, bins, samples).
        x: like ``y``.

    Returns:
        (R, C, bins).
    """
    height, width = features.shape[2:]
    near = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    output = features.new_zeros(len(y), features.size(1), y.size(1))
    for number, plane in enumerate(features):
        members = (image == number).nonzero()[:, 0]
        values = sample(plane[None], y[members].reshape(1, -1), x[members].reshape(1, -1))[0]
        values = values.view(len(plane), *y[members].shape) * near[members]
        output = output.index_copy(0, members, values.mean(3).transpose(0, 1))
    return output


def sampling_grids(bin_height: Tensor, bin_width: Tensor, ratio: int) -> list[tuple[int, int, Tensor]]:
    """(rows, columns, members): regions by their grid of samples a bin; ``ratio`` 0 takes a bin's size rounded up."""
    if ratio > 0:
        return [(ratio, ratio, torch.arange(len(bin_height), device=bin_height.device))]
    sizes, group = torch.stack([bin_height, bin_width], 1).ceil().long().unique(dim=0, return_inverse=True)
    return [
        (rows, columns, (group == number).nonzero()[:, 0])
        for number, (rows, columns) in enumerate(sizes.tolist())
        if rows > 0 and columns > 0
    ]


def grid_points(bins: int, count: int, like: Tensor) -> Tensor:
    """Samples (bins, count) along an axis, in bins from the region's start."""
    steps = torch.arange(bins * count, device=like.device, dtype=like.dtype).view(bins, count)
    return (steps + 0.5) / count
