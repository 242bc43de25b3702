"""Position-sensitive RoI align without a compiled operator: :mod:`mmlight.ops.mean_sample` and
:mod:`mmlight.ops.largest_sample`.

An exported mean is written in another way. Along one axis, bilinear interpolation at coordinate ``v`` is a product with
the *hat* weights ``relu(1 - |v - l|)``, ``l = 0 .. L-1``. Averaged over the samples of a bin they give one weight row
per RoI and bin, so that pooling is two matrix products, one per axis: no gather, no scatter, nothing that ONNX lacks.
But its cost grows with the map.
"""

import torch
from torch import Tensor

from mmlight import checks
from mmlight.errors import InputError
from mmlight.ops.largest_sample import largest_sample
from mmlight.ops.mean_sample import mean_sample
from mmlight.ops.position_sensitive import PositionSensitive


class PSRoIAlign(PositionSensitive):
    """Position-sensitive RoI align (Light-Head R-CNN, arXiv 1711.07264; ThunderNet, arXiv 1903.11752, Sec. 3.3).

    Output cell ``[r, k, p, q]`` reads only input channel ``(k * P + p) * Q + q`` of RoI ``r``: the output channel is
    slowest, then the bin's row, then its column. A bin is sampled at ``sampling_ratio ** 2`` regular points by
    bilinear interpolation; a point further than one pixel outside the map counts as 0.

    Published variants, all reachable by parameters (the weights of one do not fit another):

    ==================================  =======  =========  ========
    variant                             mode     aligned    min_size
    ==================================  =======  =========  ========
    torchvision ``ps_roi_align``, mmcv  ``avg``  ``True``   ``None``
    mmcv ``RoIAlign(aligned=False)``    ``avg``  ``False``  ``1.0``
    ThunderNet, authors' release        ``max``  ``False``  ``0.1``
    Light-Head R-CNN                    ``max``  ``False``  ``0.0``
    ==================================  =======  =========  ========

    (Light-Head's release treats samples outside of the map differently, which is not reproduced.)

    Args:
        output_size: Bins ``P`` or ``(P, Q)``, rows first.
        spatial_scale: Feature pixels per input pixel, ``1 / stride``.
        sampling_ratio: Sample points per bin and axis, at least 1.
        mode: ``'avg'`` or ``'max'`` over the points of a bin.
        aligned: Shift RoIs by half a feature pixel, so that pixel centres lie at half-integers.
        min_size: Least height and width of a RoI in feature pixels; ``None`` leaves RoIs as they are.

    Raises:
        InputError: for an argument that cannot work, naming it, its value and what is allowed.
    """

    def __init__(
        self,
        output_size: int | tuple[int, int],
        spatial_scale: float,
        sampling_ratio: int = 2,
        mode: str = 'avg',
        aligned: bool = True,
        min_size: float | None = None,
    ):
        super().__init__(output_size, spatial_scale)
        checks.positive_int('PSRoIAlign', sampling_ratio=sampling_ratio)  # 0, adapted to the RoI, is not supported
        checks.one_of(('avg', 'max'), 'PSRoIAlign', mode=mode)
        if min_size is not None and (not isinstance(min_size, (int, float)) or not min_size >= 0):
            raise InputError(f'PSRoIAlign: min_size must be None or at least 0, got {min_size!r}')
        self.sampling_ratio = sampling_ratio
        self.mode = mode
        self.aligned = aligned
        self.min_size = min_size

    def _pool(self, features: Tensor, boxes: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        rows, columns = self.output_size
        boxes = boxes * self.spatial_scale - (0.5 if self.aligned else 0.0)
        points_y = self._points(boxes[:, 1], boxes[:, 3], rows)  # (R, P, S)
        points_x = self._points(boxes[:, 0], boxes[:, 2], columns)  # (R, Q, S)
        bins = features.view(-1, rows, columns, height, width)
        if self.mode == 'max':
            return largest_sample(bins, points_y, points_x)
        if not torch.onnx.is_in_onnx_export():
            return mean_sample(bins, points_y, points_x)
        # the mean over S * S samples is the product of two means
        return _interpolate(bins, _hat_weights(points_y, height).mean(2), _hat_weights(points_x, width).mean(2))

    def _points(self, low: Tensor, high: Tensor, bins: int) -> Tensor:
        """Sample points ``(R, bins, S)`` in feature pixels of RoIs from ``low`` to ``high``, each ``(R,)``."""
        size = high - low
        if self.min_size is not None:
            size = size.clamp(min=self.min_size)
        samples = bins * self.sampling_ratio
        steps = (torch.arange(samples, device=low.device, dtype=low.dtype) + 0.5) / samples
        return (low[:, None] + size[:, None] * steps).view(-1, bins, self.sampling_ratio)

    def extra_repr(self) -> str:
        return (
            f'output_size={self.output_size}, spatial_scale={self.spatial_scale}, '
            f'sampling_ratio={self.sampling_ratio}, mode={self.mode!r}, aligned={self.aligned}, '
            f'min_size={self.min_size}'
        )


def _hat_weights(points: Tensor, length: int) -> Tensor:
    """Weights ``(R, bins, S, length)`` of the cells of an axis at sample points ``(R, bins, S)``."""
    inside = (points >= -1) & (points <= length)
    cells = torch.arange(length, device=points.device, dtype=points.dtype)
    distance = points.clamp(0, length - 1)[..., None] - cells
    return (1 - distance.abs()).clamp(min=0) * inside[..., None]


def _interpolate(bins: Tensor, weight_y: Tensor, weight_x: Tensor) -> Tensor:
    """``(K, P, Q, H, W)``, ``(R, P, H)``, ``(R, Q, W)`` to ``(R, K, P, Q)``."""
    lines = torch.matmul(weight_y.transpose(0, 1), bins.permute(1, 3, 2, 0, 4).flatten(2))
    lines = lines.unflatten(2, (bins.shape[2], bins.shape[0], bins.shape[4]))  # (P, R, Q, K, W)
    return torch.matmul(lines, weight_x[..., None]).squeeze(-1).permute(1, 3, 0, 2)
