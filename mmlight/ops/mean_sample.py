"""The mean of a bin's bilinear samples, position-sensitive, forward and backward.

A sample is a weighted sum of four cells, and weights of the two axes factorise: the mean over a bin's ``S * S`` samples
is a weighted sum of ``(2 S) ** 2`` cells, however large the map is. Only one row of bins at a time has its maps brought
side by side, so that one table row holds a cell of all output channels.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmlight.ops.largest_sample import Axis
from mmlight.ops.weighted_rows import weighted_rows

ROIS_AT_ONCE = 64
"""In the backward pass on a CPU; a GPU takes all."""


def _cells(points: Tensor, length: int, stride: int, plane: int) -> tuple[Tensor, Tensor]:
    """Entries of the cells on both sides of sample points ``(R, bins, S)``, and their weights in the mean over ``S``:
    ``(R, bins, 2 S)``. Arguments as in :class:`~mmlight.ops.largest_sample.Axis`."""
    axis = Axis(points, length, stride, plane)
    index = torch.cat([x.view(points.shape) for x in (axis.index, axis.index + axis.step)], -1)
    weights = torch.cat([x.view(points.shape) for x in axis.weights], -1)
    return index.int(), weights / points.shape[2]


def _products(y: tuple[Tensor, Tensor], x: tuple[Tensor, Tensor], row: int) -> tuple[Tensor, Tensor]:
    """Entries and weights ``(R * Q, (2 S) ** 2)`` of the cells of the bins in a row."""
    (index_y, weight_y), (index_x, weight_x) = y, x
    index = index_y[:, row, None, :, None] + index_x[:, :, None]
    weight = weight_y[:, row, None, :, None] * weight_x[:, :, None]
    return index.flatten(0, 1).flatten(1), weight.flatten(0, 1).flatten(1)


def _forward(maps: Tensor, y: tuple[Tensor, Tensor], x: tuple[Tensor, Tensor]) -> Tensor:
    channels, rows, columns = maps.shape[:3]
    pooled = maps.new_empty(len(x[0]), channels, rows, columns)
    for row in range(rows):
        table = maps[:, row].permute(1, 2, 3, 0).reshape(-1, channels).contiguous()  # much faster than a view
        pooled[:, :, row] = weighted_rows(table, *_products(y, x, row)).view(-1, columns, channels).transpose(1, 2)
    return pooled


class _MeanSample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, *cells: Tensor) -> Tensor:
        ctx.save_for_backward(*cells)
        ctx.shape = maps.shape
        return _forward(maps, (cells[0], cells[1]), (cells[2], cells[3]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        cells = ctx.saved_tensors
        channels, rows, columns, height, width = ctx.shape
        maps = grad.new_empty(ctx.shape)
        size = ROIS_AT_ONCE if grad.device.type == 'cpu' else max(len(grad), 1)
        for row in range(rows):
            table = grad.new_zeros(columns * height * width, channels)
            for start in range(0, len(grad), size):
                group = [tensor[start : start + size] for tensor in cells]
                index, weight = _products((group[0], group[1]), (group[2], group[3]), row)
                share = weight[..., None] * grad[start : start + size, :, row].transpose(1, 2).flatten(0, 1)[:, None]
                # several times as fast as index_add_
                table.scatter_add_(0, index.long().view(-1, 1).expand(-1, channels), share.flatten(0, 1))
            maps[:, row] = table.view(columns, height, width, channels).permute(3, 0, 1, 2)
        return maps, None, None, None, None


def mean_sample(maps: Tensor, points_y: Tensor, points_x: Tensor) -> Tensor:
    """Mean of the bilinear samples at all pairs of a bin's ``S`` rows and ``S`` columns of points.

    Points further than one pixel outside of the map count as 0, nearer ones are moved to its border.

    Args:
        maps: ``(K, P, Q, H, W)``, a map for each output channel and bin.
        points_y: Rows, ``(R, P, S)``, in feature pixels.
        points_x: Columns, ``(R, Q, S)``.

    Returns:
        ``(R, K, P, Q)``. The gradient goes to ``maps``.
    """
    height, width = maps.shape[3:]
    y, x = _cells(points_y, height, width, 0), _cells(points_x, width, 1, height * width)
    if torch.is_grad_enabled() and maps.requires_grad:
        return _MeanSample.apply(maps, *y, *x)
    return _forward(maps, y, x)
