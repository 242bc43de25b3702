"""The largest of a bin's bilinear samples, position-sensitive, forward and backward.

A sample lies between four cells of one map. The maps of the output channels are brought side by side, so that one
table row holds a cell of all of them, and a sample is a weighted sum of four rows. RoIs go through in groups: neither
samples nor indices of all of them are ever in memory. The backward pass knows the number of the largest sample
and goes to its four cells only.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmlight.ops.weighted_rows import weighted_rows

SAMPLES_AT_ONCE = 8192
"""On a CPU: what its cache holds. A GPU wants few large steps, and takes 64 times as many."""


class Axis:
    """Where the sample points along one axis lie between cells.

    Args:
        points: ``(R, bins, S)``, in feature pixels.
        length: Cells of the map along this axis.
        stride: Entries of the flattened maps from one cell to the next.
        plane: Entries from the maps of one bin to those of the next.

    Attributes:
        index: Entry of the lower cell, ``(R, bins * S)``.
        weights: Of the lower and of the upper cell, each ``(R, bins * S)``; 0 outside of the map.
        step: Entries from the lower cell to the upper one.
    """

    def __init__(self, points: Tensor, length: int, stride: int, plane: int):
        inside = ((points >= -1) & (points <= length)).to(points.dtype)
        points = points.clamp(0, length - 1)
        cell = points.floor().clamp(max=max(length - 2, 0)).nan_to_num(0)  # so that there is a cell, and one above
        bins = torch.arange(points.shape[1], device=points.device)[:, None]
        upper = (points - cell) * inside
        self.index = (cell.long() * stride + bins * plane).flatten(1)
        self.weights = ((inside - upper).flatten(1), upper.flatten(1))
        self.step = stride if length > 1 else 0


def _corners(y: Axis, x: Axis, group: slice) -> Iterator[tuple[int, Tensor]]:
    """Offset to the lower left entry and weights ``(r, P * S, Q * S)``, for each of the four cells around samples."""
    for offset_y, weight_y in zip((0, y.step), y.weights, strict=True):
        for offset_x, weight_x in zip((0, x.step), x.weights, strict=True):
            yield offset_y + offset_x, weight_y[group, :, None] * weight_x[group, None]


def _groups(points_y: Tensor, points_x: Tensor) -> Iterator[slice]:
    """RoIs that are computed together."""
    if torch.onnx.is_in_onnx_export():  # a loop would be written out for the number of RoIs in the example
        return iter([slice(None)])
    rois, samples = len(points_y), points_y.shape[1:].numel() * points_x.shape[1:].numel()
    size = max(SAMPLES_AT_ONCE * (1 if points_y.device.type == 'cpu' else 64) // samples, 1)
    return (slice(start, start + size) for start in range(0, max(rois, 1), size))


def _forward(maps: Tensor, points_y: Tensor, points_x: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`largest_sample`; also the number of the largest sample, ``(R, P, Q, K)``, and the result that way."""
    channels, rows, columns, height, width = maps.shape
    s = points_y.shape[2]
    table = maps.permute(1, 2, 3, 4, 0).reshape(-1, channels).contiguous()
    y = Axis(points_y, height, width, columns * height * width)
    x = Axis(points_x, width, 1, height * width)
    largest, winner = [], []
    for group in _groups(points_y, points_x):
        lower = (y.index[group, :, None] + x.index[group, None]).int()
        offsets, factors = zip(*_corners(y, x, group), strict=True)
        index = torch.stack([lower + offset for offset in offsets], -1)
        weights = torch.stack(factors, -1).view(-1, 4)
        samples = weighted_rows(table, index.view(-1, 4), weights).view(-1, rows, s, columns, s, channels)
        best = samples[:, :, 0, :, 0]
        number = torch.zeros_like(best, dtype=torch.int16)
        for n in range(1, s * s):
            sample = samples[:, :, n // s, :, n % s]
            # the last number that was larger is the largest number; much faster than a masked assignment
            number = torch.maximum(number, (sample > best).to(number.dtype) * n)
            best = torch.maximum(best, sample)
        largest.append(best)
        winner.append(number)
    return torch.cat(largest), torch.cat(winner)


class _LargestSample(torch.autograd.Function):
    @staticmethod
    def forward(ctx, maps: Tensor, points_y: Tensor, points_x: Tensor) -> Tensor:
        largest, winner = _forward(maps, points_y, points_x)
        ctx.save_for_backward(points_y, points_x, winner)
        ctx.shape = maps.shape
        return largest.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        points_y, points_x, winner = ctx.saved_tensors
        channels, rows, columns, height, width = ctx.shape
        s = points_y.shape[2]
        y = Axis(points_y, height, width, columns * height * width)
        x = Axis(points_x, width, 1, height * width)
        grad_maps = grad.new_zeros(ctx.shape)
        maps_of = torch.arange(channels, device=grad.device) * grad_maps[0].numel()

        def of_winner(samples: Tensor, number: Tensor) -> Tensor:
            """``(r, P * S, Q * S)`` to ``(r, P, Q, K)``."""
            samples = samples.view(-1, rows, s, columns, s).transpose(2, 3).flatten(3)
            return samples.gather(3, number)

        for group in _groups(points_y, points_x):
            number = winner[group].long()
            lower = of_winner(y.index[group, :, None] + x.index[group, None], number) + maps_of
            out = grad[group].permute(0, 2, 3, 1)
            for offset, weight in _corners(y, x, group):
                share = out * of_winner(weight, number)
                grad_maps.view(-1).scatter_add_(0, (lower + offset).view(-1), share.reshape(-1))
        return grad_maps, None, None


def largest_sample(maps: Tensor, points_y: Tensor, points_x: Tensor) -> Tensor:
    """Maximum of the bilinear samples at all pairs of a bin's ``S`` rows and ``S`` columns of points.

    Points further than one pixel outside of the map count as 0, nearer ones are moved to its border.

    Args:
        maps: ``(K, P, Q, H, W)``, a map for each output channel and bin.
        points_y: Rows, ``(R, P, S)``, in feature pixels.
        points_x: Columns, ``(R, Q, S)``.

    Returns:
        ``(R, K, P, Q)``. The gradient goes to ``maps``, to the cells around the largest sample (the first of equal
        ones).
    """
    if torch.is_grad_enabled() and maps.requires_grad:
        return _LargestSample.apply(maps, points_y, points_x)
    return _forward(maps, points_y, points_x)[0].permute(0, 3, 1, 2)
