"""RoI max pooling (arXiv 1504.08083, Sec. 2.1): the maximum over the whole pixels of each bin."""

from __future__ import annotations

import torch
from torch import Tensor

_MAX_ENTRIES = 1 << 24  # of one intermediate tensor


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    *,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill ``output`` and ``argmax`` (K, C, pooled_height, pooled_width).

    A bin without pixels gives 0 and the position -1.

    Args:
        input: (N, C, H, W).
        rois: (K, 5) as image index, x1, y1, x2, y2 in image pixels; x2 and y2 belong to the region.
        output: see above.
        argmax: position ``y * W + x`` of the greatest pixel, int.
        pooled_height: bins.
        pooled_width: like ``pooled_height``.
        spatial_scale: map pixels per image pixel.
    """
    channels, height, width = input.shape[1:]
    output.zero_()
    argmax.fill_(-1)
    dtype = torch.float64 if input.dtype == torch.float64 else torch.float32
    y_range = _bin_ranges(rois[:, 2].to(dtype), rois[:, 4].to(dtype), spatial_scale, pooled_height, height)
    x_range = _bin_ranges(rois[:, 1].to(dtype), rois[:, 3].to(dtype), spatial_scale, pooled_width, width)
    members = torch.arange(rois.size(0), device=rois.device)
    bins = pooled_height * pooled_width
    largest = max(1, _largest(y_range) * _largest(x_range))
    for chosen in members.split(max(1, _MAX_ENTRIES // (channels * bins * largest))):
        y, near_y = _pixels(y_range, chosen, height)
        x, near_x = _pixels(x_range, chosen, width)
        if y.size(2) == 0 or x.size(2) == 0:
            continue
        position = (y[:, :, None, :, None] * width + x[:, None, :, None, :]).flatten(3)  # (R, P, P, T)
        inside = (near_y[:, :, None, :, None] & near_x[:, None, :, None, :]).flatten(3)
        planes = input.flatten(2)[rois[chosen, 0].long()]  # (R, C, H * W)
        values = planes.gather(2, position.flatten(1)[:, None].expand(-1, channels, -1))
        values = values.view(chosen.numel(), channels, *position.shape[1:])
        values = values.masked_fill(~inside[:, None], -torch.inf)
        value, best = values.max(4)
        where = position[:, None].expand(-1, channels, -1, -1, -1).gather(4, best[..., None])[..., 0]
        filled = inside.any(3)[:, None]
        output[chosen] = value.where(filled, value.new_zeros(()))
        argmax[chosen] = where.where(filled, where.new_full((), -1)).to(argmax.dtype)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    *,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add ``grad_output`` to ``grad_input`` (N, C, H, W) at the pixels that were greatest."""
    channels, height, width = grad_input.shape[1:]
    plane = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
    index = plane[:, :, None, None] * (height * width) + argmax.clamp(min=0)
    grad = grad_output.float() if grad_output.dtype != torch.float64 else grad_output
    target = grad.new_zeros(grad_input.numel())
    target.index_add_(0, index.reshape(-1), (grad * (argmax >= 0)).reshape(-1))
    grad_input += target.view_as(grad_input).to(grad_input.dtype)


def _bin_ranges(low: Tensor, high: Tensor, scale: float, bins: int, length: int) -> tuple[Tensor, Tensor]:
    """First pixel and the one after the last of every bin along one axis, each (K, bins); equal when empty."""
    low, high = low * scale, (high + 1) * scale
    size = high - low
    steps = torch.arange(bins + 1, device=low.device, dtype=low.dtype) * (size / bins)[:, None] + low[:, None]
    first = steps[:, :-1].floor().clamp(0, length).long()
    end = steps[:, 1:].ceil().clamp(0, length).long()
    return first, torch.where(size[:, None] > 0, end, first).maximum(first)


def _largest(bin_range: tuple[Tensor, Tensor]) -> int:
    first, end = bin_range
    return int((end - first).max()) if first.numel() else 0


def _pixels(bin_range: tuple[Tensor, Tensor], chosen: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Pixels (R, bins, T) of the chosen regions' bins and whether each belongs to its bin."""
    first, end = (value[chosen] for value in bin_range)
    pixels = first[..., None] + torch.arange(int((end - first).max()), device=first.device)
    return pixels.clamp(max=length - 1), pixels < end[..., None]
