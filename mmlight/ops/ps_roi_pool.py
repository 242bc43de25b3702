"""R-FCN's position-sensitive RoI pooling over whole cells, without a compiled operator.

A bin is a rectangle of cells, so its mean takes four entries of the map's two-dimensional cumulative sum, however large
the RoI is. The sums are in float64: differences of float32 sums would be wrong in the third digit on a large map. Only
one row of bins has its sums in memory at a time; for the 4165 maps of R-FCN that is a seventh of them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlight.ops.position_sensitive import PositionSensitive
from mmlight.ops.weighted_rows import weighted_rows

SMALLEST = 0.1  # height and width of a RoI in feature pixels


class PSRoIPool(PositionSensitive):
    """Position-sensitive RoI pooling (R-FCN, arXiv 1605.06409, Sec. 3; borders as in its authors' code).

    Output cell ``[r, k, p, q]`` is the mean of input channel ``(k * P + p) * Q + q`` over the cells that bin
    ``(p, q)`` touches, 0 where they all lie outside of the map. A RoI's corners are rounded in *input* pixels (halves
    away from 0), scaled, and the RoI is at least 0.1 feature pixels wide and high. Bins end at whole cells, outwards,
    so that neighbours overlap.

    This is not torchvision's ``ps_roi_pool``, which rounds in feature pixels and never reads the last row and column.

    Args:
        output_size: Bins ``P`` or ``(P, Q)``, rows first.
        spatial_scale: Feature pixels per input pixel, ``1 / stride``.
        legacy: A box's last pixel belongs to it, so that it ends one pixel later: R-FCN's convention, and what its
            figures were measured with. ``False`` is for boxes that end at their last coordinate, as mmdet's do.

    Raises:
        InputError: for an argument that cannot work, naming it, its value and what is allowed.
    """

    def __init__(self, output_size: int | tuple[int, int], spatial_scale: float, legacy: bool = True):
        super().__init__(output_size, spatial_scale)
        self.legacy = legacy

    def _pool(self, features: Tensor, boxes: Tensor) -> Tensor:
        rows, columns = self.output_size
        channels, height, width = features.shape
        top, bottom = self._cells(boxes[:, 1], boxes[:, 3], rows, height)
        left, right = self._cells(boxes[:, 0], boxes[:, 2], columns, width)
        # corners of the sums of the Q maps of a row of bins, which lie one behind the other
        plane, line = (height + 1) * (width + 1), width + 1
        horizontal = torch.stack([left, right], 2) + plane * torch.arange(columns, device=boxes.device)[:, None]
        vertical = torch.stack([top, bottom], 2) * line
        index = vertical[:, :, None, :, None] + horizontal[:, None, :, None]  # (R, P, Q, 2, 2)
        area = (bottom - top)[:, :, None] * (right - left)[:, None]
        mean = area.bool() / area.clamp(min=1).double()
        sign = torch.tensor([1.0, -1, -1, 1], device=boxes.device, dtype=torch.float64)
        weights = (mean[..., None] * sign).transpose(0, 1)
        index = index.flatten(3).transpose(0, 1)
        rows_of_bins = features.view(-1, rows, columns, height, width).unbind(1)
        bins = [
            weighted_rows(_sums(maps), index[p].reshape(-1, 4), weights[p].reshape(-1, 4))
            for p, maps in enumerate(rows_of_bins)
        ]
        pooled = torch.stack(bins).view(rows, -1, columns, channels // (rows * columns))
        return pooled.permute(1, 3, 0, 2).to(features.dtype)

    def _cells(self, low: Tensor, high: Tensor, bins: int, length: int) -> tuple[Tensor, Tensor]:
        """First cell of each bin and the one after its last, both ``(R, bins)``, of RoIs from ``low`` to ``high``.

        Exact for a stride that is a power of two: float64, and multiplied before it is divided. Whether a bin ends on
        a cell's border or just behind it makes a cell's difference.
        """
        start = _round(low) * self.spatial_scale
        end = (_round(high) + float(self.legacy)) * self.spatial_scale
        size = (end - start).clamp(min=SMALLEST)
        edges = start[:, None] + size[:, None] * torch.arange(bins + 1, device=low.device) / bins
        first, last = (x.clamp(0, length).nan_to_num(0).long() for x in (edges[:, :-1].floor(), edges[:, 1:].ceil()))
        return first, last

    def extra_repr(self) -> str:
        return f'output_size={self.output_size}, spatial_scale={self.spatial_scale}, legacy={self.legacy}'


def _round(x: Tensor) -> Tensor:
    """To the nearest integer, halves away from 0, in float64."""
    x = x.double()
    return x.sign() * (x.abs() + 0.5).floor()


def _sums(maps: Tensor) -> Tensor:
    """Cumulative sums ``(Q * (H + 1) * (W + 1), K)`` of maps ``(K, Q, H, W)``, with a row and a column of 0 before."""
    sums = maps.permute(1, 2, 3, 0).double().cumsum(1).cumsum(2)
    return F.pad(sums, (0, 0, 1, 0, 1, 0)).flatten(0, 2)
