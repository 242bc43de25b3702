"""RoIAlign (arXiv 1703.06870, Sec. 3): bilinear samples on a grid in each bin of a region, averaged or maximised.

Bilinear interpolation and the mean over the grid are linear, and the weights of the two axes factorise. So a bin is a
weighted sum of a few pixels, which is what ``embedding_bag`` computes: pixels are rows of a table, bins are bags. The
gradient is the transposed sum, again bags. No Python loop over regions, no atomics, hence deterministic.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlight.compat.ops_fallback.torchvision_kernels import kernels

_MAX_ENTRIES = 1 << 24  # of one intermediate tensor


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Fill ``output``; in max mode also the coordinates of the samples that were greatest.

    A sample farther than one pixel outside the map counts as 0. Regions of negative size, which the compiled CPU
    operator refuses, are sampled backwards (or give 0 where the grid adapts), as by the compiled GPU operator.

    Args:
        input: (N, C, H, W).
        rois: (K, 5) as image index, x1, y1, x2, y2 in image pixels.
        output: (K, C, aligned_height, aligned_width).
        argmax_y: like ``output`` in max mode; not used otherwise.
        argmax_x: like ``argmax_y``.
        aligned_height: bins.
        aligned_width: like ``aligned_height``.
        spatial_scale: map pixels per image pixel.
        sampling_ratio: samples per bin and axis; 0 means the bin's size, rounded up.
        pool_mode: 0 max, 1 average.
        aligned: whether pixel centres lie at half coordinates. Without, regions are at least 1 map pixel wide.
    """
    size = (aligned_height, aligned_width)
    if rois.size(0) == 0:
        return
    native = kernels(input) if pool_mode == 1 else None
    if native is not None:
        features = _in_float(input).contiguous()
        pooled = native.roi_align(
            features, rois.to(features.dtype).contiguous(), spatial_scale, *size, sampling_ratio, aligned
        )
        output.copy_(pooled)
        return
    channels = input.size(1)
    table = _in_float(input).permute(0, 2, 3, 1).reshape(-1, channels)
    output.zero_()
    if pool_mode == 0:
        argmax_y.fill_(-1)
        argmax_x.fill_(-1)
    geometry = _Geometry(input.shape, rois, size, spatial_scale, aligned, table.dtype)
    for chosen, grid in geometry.groups(sampling_ratio, channels, pool_mode):
        if pool_mode == 1:
            pixels, weights = geometry.bags(chosen, grid, adaptive=sampling_ratio <= 0)
            pooled = F.embedding_bag(pixels, table, mode='sum', per_sample_weights=weights)
            output[chosen] = pooled.view(-1, *size, channels).permute(0, 3, 1, 2).to(output.dtype)
        else:
            value, y, x = geometry.greatest(chosen, grid, table)
            for target, source in ((output, value), (argmax_y, y), (argmax_x, x)):
                target[chosen] = source.permute(0, 3, 1, 2).to(target.dtype)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add to ``grad_input`` (N, C, H, W) what ``grad_output`` brings; the other arguments as in the forward."""
    size = (aligned_height, aligned_width)
    if rois.size(0) == 0:
        return
    grad = _in_float(grad_output)
    native = kernels(grad) if pool_mode == 1 else None
    if native is not None:
        grad_input += native._roi_align_backward(
            grad.contiguous(),
            rois.to(grad.dtype).contiguous(),
            spatial_scale,
            *size,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        ).to(grad_input.dtype)
        return
    n, channels, height, width = grad_input.shape
    if pool_mode == 0:
        _scatter_greatest(grad, rois, argmax_y, argmax_x, grad_input)
        return
    rows = grad.permute(0, 2, 3, 1).reshape(-1, channels)  # one per bin
    table: Tensor | None = None  # one row per pixel
    geometry = _Geometry(grad_input.shape, rois, size, spatial_scale, aligned, grad.dtype)
    entries: list[tuple[Tensor, Tensor, Tensor]] = []
    pixel_count = n * height * width
    for chosen, grid in geometry.groups(sampling_ratio, channels, pool_mode):
        pixels, weights = geometry.bags(chosen, grid, adaptive=sampling_ratio <= 0)
        bins = geometry.bins(chosen).expand_as(pixels)
        entries.append((pixels.reshape(-1), bins.reshape(-1), weights.reshape(-1)))
        if sum(entry[0].numel() for entry in entries) > _MAX_ENTRIES:
            table = _transposed(entries, rows, pixel_count, table)
            entries = []
    if entries:
        table = _transposed(entries, rows, pixel_count, table)
    if table is not None:
        # made contiguous first: adding with strides is ten times slower than copying with strides
        per_image = table.view(n, height * width, channels).transpose(1, 2).contiguous()
        grad_input += per_image.view_as(grad_input).to(grad_input.dtype)


class _Geometry:
    """Where the samples of the regions lie on one feature map of shape (N, C, H, W)."""

    def __init__(
        self,
        shape: torch.Size,
        rois: Tensor,
        size: tuple[int, int],
        spatial_scale: float,
        aligned: bool,
        dtype: torch.dtype,
    ) -> None:
        self.lengths = tuple(shape[2:])
        self.size = size
        self.image = rois[:, 0].int()
        x1, y1, x2, y2 = (rois[:, 1:].to(dtype) * spatial_scale - (0.5 if aligned else 0.0)).unbind(1)
        extents = [y2 - y1, x2 - x1]
        if not aligned:
            extents = [extent.clamp(min=1) for extent in extents]
        self.starts = (y1, x1)
        self.steps = tuple(extent / bins for extent, bins in zip(extents, size, strict=True))

    def groups(self, sampling_ratio: int, channels: int, pool_mode: int) -> Iterator[tuple[Tensor, tuple[int, int]]]:
        """Indices of regions that share a sampling grid (rows, columns), in chunks that bound the memory."""
        device = self.image.device
        if sampling_ratio > 0:
            parts = [((sampling_ratio, sampling_ratio), torch.arange(self.image.numel(), device=device))]
        else:
            grids = torch.stack([step.ceil() for step in self.steps], 1).nan_to_num(0).long()
            unique, group = grids.unique(dim=0, return_inverse=True)
            parts = [(tuple(grid), (group == i).nonzero()[:, 0]) for i, grid in enumerate(unique.tolist())]
        for grid, members in parts:
            if min(grid) < 1:
                continue  # nothing is sampled: the output stays 0
            samples = grid[0] * grid[1]
            entries = self.size[0] * self.size[1] * max(4 * samples, channels * (samples if pool_mode == 0 else 1))
            for chosen in members.split(max(1, _MAX_ENTRIES // entries)):
                yield chosen, grid

    def samples(self, axis: int, chosen: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Coordinates (R, bins, count) along ``axis`` (0: y), and whether they are near enough to the map."""
        start, step = (value[axis][chosen][:, None, None] for value in (self.starts, self.steps))
        bins = torch.arange(self.size[axis], device=start.device, dtype=start.dtype)[:, None]
        offsets = torch.arange(count, device=start.device, dtype=start.dtype) + 0.5
        place = start + bins * step + offsets * step / count
        return place, (place >= -1) & (place <= self.lengths[axis])

    def pairs(self, axis: int, chosen: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The two pixels of each sample along ``axis`` and their weights, each (R, bins, count, 2)."""
        place, near = self.samples(axis, chosen, count)
        return _pixel_pairs(place, near, self.lengths[axis])

    def window(self, axis: int, chosen: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Like :meth:`pairs`, summed per pixel: (R, bins, count + 1). Needs samples at most one pixel apart."""
        place, near = self.samples(axis, chosen, count)
        last = self.lengths[axis] - 1
        place = place.nan_to_num(0).clamp(0, last)
        pixels = place[..., :1].floor() + torch.arange(count + 1, device=place.device, dtype=place.dtype)
        hat = (1 - (place[..., None] - pixels[..., None, :]).abs()).clamp_(min=0) * near[..., None]
        return pixels.clamp(max=last).int(), hat.sum(-2)

    def bags(self, chosen: Tensor, grid: tuple[int, int], adaptive: bool) -> tuple[Tensor, Tensor]:
        """Pixels of every bin as rows of the (N * H * W, C) table, and their weights: both (R * bins, T)."""
        axes = []
        for axis in (0, 1):
            if adaptive:
                pixels, weights = self.window(axis, chosen, grid[axis])
            else:
                pixels, weights = (value.flatten(2) for value in self.pairs(axis, chosen, grid[axis]))
            axes.append((pixels, weights / grid[axis]))
        (y, weight_y), (x, weight_x) = axes
        rows = (self.image[chosen][:, None, None] * self.lengths[0] + y) * self.lengths[1]
        pixels = rows[:, :, None, :, None] + x[:, None, :, None, :]
        weights = weight_y[:, :, None, :, None] * weight_x[:, None, :, None, :]
        taps = y.size(2) * x.size(2)
        return pixels.reshape(-1, taps), weights.reshape(-1, taps)

    def bins(self, chosen: Tensor) -> Tensor:
        """Row numbers (R * bins, 1) of the chosen regions' bins among all bins."""
        per_roi = self.size[0] * self.size[1]
        inner = torch.arange(per_roi, device=chosen.device)
        return (chosen[:, None] * per_roi + inner).reshape(-1, 1).int()

    def greatest(self, chosen: Tensor, grid: tuple[int, int], table: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Greatest sample of every bin and its y and x: each (R, rows, columns, C)."""
        (place_y, near_y), (place_x, near_x) = (self.samples(axis, chosen, grid[axis]) for axis in (0, 1))
        y, weight_y = _pixel_pairs(place_y, near_y, self.lengths[0])
        x, weight_x = _pixel_pairs(place_x, near_x, self.lengths[1])
        rows = (self.image[chosen][:, None, None, None] * self.lengths[0] + y) * self.lengths[1]
        # (R, bin row, bin column, sample row, sample column, 2, 2)
        pixels = rows[:, :, None, :, None, :, None] + x[:, None, :, None, :, None, :]
        weights = weight_y[:, :, None, :, None, :, None] * weight_x[:, None, :, None, :, None, :]
        values = F.embedding_bag(
            pixels.reshape(-1, 4), table, mode='sum', per_sample_weights=weights.reshape(-1, 4)
        ).view(chosen.numel(), *self.size, grid[0] * grid[1], -1)
        value, best = values.max(3)
        row, column = best.div(grid[1], rounding_mode='floor'), best % grid[1]
        place_y = place_y[:, :, None, :].expand(-1, -1, self.size[1], -1).take_along_dim(row, 3)
        place_x = place_x[:, None, :, :].expand(-1, self.size[0], -1, -1).take_along_dim(column, 3)
        return value, place_y, place_x


def _pixel_pairs(place: Tensor, near: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Coordinates of any shape -> the two pixels beside each and their weights, with a last axis of 2."""
    place = place.nan_to_num(0).clamp(0, length - 1)
    low = place.floor()
    high_weight = place - low
    pixels = torch.stack([low, (low + 1).clamp(max=length - 1)], -1).int()
    return pixels, torch.stack([1 - high_weight, high_weight], -1) * near[..., None]


def _transposed(
    entries: list[tuple[Tensor, Tensor, Tensor]], rows: Tensor, pixel_count: int, table: Tensor | None
) -> Tensor:
    """``table`` (pixels, C), or zeros, plus the sum over (pixel, bin, weight) entries of weight * rows[bin]."""
    pixel, bin_, weight = (torch.cat(values) for values in zip(*entries, strict=True))
    pixel, order = pixel.sort()
    numbers = torch.arange(pixel_count, device=pixel.device, dtype=pixel.dtype)
    offsets = torch.searchsorted(pixel, numbers, out_int32=True)
    added = F.embedding_bag(bin_[order], rows, offsets, mode='sum', per_sample_weights=weight[order])
    return added if table is None else table.add_(added)


def _scatter_greatest(grad: Tensor, rois: Tensor, argmax_y: Tensor, argmax_x: Tensor, grad_input: Tensor) -> None:
    """The gradient of max mode: every output element goes to the four pixels around its greatest sample."""
    _, channels, height, width = grad_input.shape
    place_y, place_x = argmax_y.to(grad.dtype), argmax_x.to(grad.dtype)
    grad = grad * (place_y != -1)  # -1 marks an empty bin
    y, weight_y = _pixel_pairs(place_y, (place_y >= -1) & (place_y <= height), height)
    x, weight_x = _pixel_pairs(place_x, (place_x >= -1) & (place_x <= width), width)
    plane = rois[:, 0].long()[:, None] * channels + torch.arange(channels, device=rois.device)
    target = grad.new_zeros(grad_input.numel())
    for i in (0, 1):
        for j in (0, 1):
            index = (plane[:, :, None, None] * height + y[..., i]) * width + x[..., j]
            target.index_add_(0, index.reshape(-1), (grad * weight_y[..., i] * weight_x[..., j]).reshape(-1))
    grad_input += target.view_as(grad_input).to(grad_input.dtype)


def _in_float(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
