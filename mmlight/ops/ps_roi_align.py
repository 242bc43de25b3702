"""Position-sensitive RoI align without a compiled operator.

Along one axis, bilinear interpolation at coordinate ``v`` is a product with the *hat* weights
``relu(1 - |v - l|)``, ``l = 0 .. L-1``. Averaged over the samples of a bin they give one weight row per RoI and bin,
so that pooling is two matrix products, one per axis: no gather, no scatter, nothing that ONNX lacks.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mmlight.errors import InputError


class PSRoIAlign(nn.Module):
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
        super().__init__()
        pair = (output_size, output_size) if isinstance(output_size, int) else tuple(output_size)
        if len(pair) != 2 or not all(isinstance(bins, int) and bins >= 1 for bins in pair):
            raise InputError(f'PSRoIAlign: output_size must be one or two positive integers, got {output_size!r}')
        if not spatial_scale > 0:
            raise InputError(f'PSRoIAlign: spatial_scale must be positive, got {spatial_scale!r}')
        if not isinstance(sampling_ratio, int) or sampling_ratio < 1:
            raise InputError(
                f'PSRoIAlign: sampling_ratio must be an integer of at least 1, got {sampling_ratio!r} '
                '(a number of samples that adapts to the RoI is not supported)'
            )
        if mode not in ('avg', 'max'):
            raise InputError(f"PSRoIAlign: mode must be 'avg' or 'max', got {mode!r}")
        if min_size is not None and min_size < 0:
            raise InputError(f'PSRoIAlign: min_size must be None or at least 0, got {min_size!r}')
        self.output_size = pair
        self.spatial_scale = spatial_scale
        self.sampling_ratio = sampling_ratio
        self.mode = mode
        self.aligned = aligned
        self.min_size = min_size

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        """Pool every RoI from its image. No gradient flows to the RoIs.

        Args:
            features: ``(N, K * P * Q, H, W)``.
            rois: ``(R, 5)``, each ``(image index, x1, y1, x2, y2)`` in input pixels, in any order.

        Returns:
            ``(R, K, P, Q)`` in the features' dtype; computed in float32 at least.
        """
        self._check(features, rois)
        with torch.autocast(features.device.type, enabled=False):
            precise = features if features.dtype == torch.float64 else features.float()
            rois = rois.detach().to(precise.dtype)
            if len(features) == 1:
                return self._pool(precise[0], rois[:, 1:]).to(features.dtype)
            members = [(rois[:, 0] == image).nonzero().flatten() for image in range(len(features))]
            pooled = torch.cat([self._pool(precise[i], rois[index, 1:]) for i, index in enumerate(members)])
            return pooled[torch.cat(members).argsort()].to(features.dtype)

    def _check(self, features: Tensor, rois: Tensor) -> None:
        rows, columns = self.output_size
        if features.dim() != 4 or features.shape[1] % (rows * columns):
            raise InputError(
                f'PSRoIAlign: features must be (N, K * {rows} * {columns}, H, W), got {tuple(features.shape)}'
            )
        if rois.dim() != 2 or rois.shape[1] != 5:
            raise InputError(f'PSRoIAlign: rois must be (R, 5), got {tuple(rois.shape)}')
        if rois.device != features.device:
            raise InputError(f'PSRoIAlign: rois are on {rois.device}, features on {features.device}')

    def _pool(self, features: Tensor, boxes: Tensor) -> Tensor:
        """``(K * P * Q, H, W)`` and ``(R, 4)`` of one image to ``(R, K, P, Q)``."""
        height, width = features.shape[-2:]
        rows, columns = self.output_size
        boxes = boxes * self.spatial_scale - (0.5 if self.aligned else 0.0)
        weight_y = self._weights(boxes[:, 1], boxes[:, 3], rows, height)  # (R, P, S, H)
        weight_x = self._weights(boxes[:, 0], boxes[:, 2], columns, width)  # (R, Q, S, W)
        bins = features.view(-1, rows, columns, height, width)
        if self.mode == 'avg':  # the mean over S * S samples is the product of two means
            return _resample(bins, weight_y.mean(2), weight_x.mean(2))
        by_rows = torch.einsum('kpqhw,rpsh->prskqw', bins, weight_y)
        return torch.einsum('prskqw,rqtw->rkpqst', by_rows, weight_x).flatten(4).amax(4)

    def _weights(self, low: Tensor, high: Tensor, bins: int, length: int) -> Tensor:
        """Hat weights ``(R, bins, S, length)`` of the sample points of RoIs from ``low`` to ``high``, each ``(R,)``."""
        size = high - low
        if self.min_size is not None:
            size = size.clamp(min=self.min_size)
        samples = bins * self.sampling_ratio
        steps = (torch.arange(samples, device=low.device, dtype=low.dtype) + 0.5) / samples
        points = low[:, None] + size[:, None] * steps
        inside = (points >= -1) & (points <= length)
        distance = points.clamp(0, length - 1)[..., None] - torch.arange(length, device=low.device, dtype=low.dtype)
        weights = (1 - distance.abs()).clamp(min=0) * inside[..., None]
        return weights.view(-1, bins, self.sampling_ratio, length)

    def extra_repr(self) -> str:
        return (
            f'output_size={self.output_size}, spatial_scale={self.spatial_scale}, '
            f'sampling_ratio={self.sampling_ratio}, mode={self.mode!r}, aligned={self.aligned}, '
            f'min_size={self.min_size}'
        )


def _resample(bins: Tensor, weight_y: Tensor, weight_x: Tensor) -> Tensor:
    """``(K, P, Q, H, W)``, ``(R, P, H)``, ``(R, Q, W)`` to ``(R, K, P, Q)``.

    One matrix product per row of bins, then a weighted sum: twice as fast, forward and backward, as the same two
    contractions by ``einsum``, which spends its time on one tiny matrix product per RoI and bin.
    """
    channels, rows, columns, height, width = bins.shape
    by_row = bins.permute(1, 3, 2, 0, 4).reshape(rows, height, columns * channels * width)
    weight_y = weight_y.transpose(0, 1)
    cells = _Resample.apply if by_row.requires_grad else _resample_rows
    return cells(by_row, weight_y, weight_x).permute(1, 3, 0, 2)


def _resample_rows(by_row: Tensor, weight_y: Tensor, weight_x: Tensor) -> Tensor:
    """``(P, H, Q * K * W)``, ``(P, R, H)``, ``(R, Q, W)`` to ``(P, R, Q, K)``."""
    rois, columns, width = weight_x.shape
    channels = by_row.shape[2] // (columns * width)
    lines = torch.bmm(weight_y, by_row).view(len(by_row), rois, columns, channels, width)
    return torch.matmul(lines, weight_x[..., None]).squeeze(-1)


class _Resample(torch.autograd.Function):
    """:func:`_resample_rows` whose backward is an outer product and one matrix product per row of bins; automatic
    differentiation keeps the lines and multiplies tiny matrices."""

    @staticmethod
    def forward(ctx: Any, by_row: Tensor, weight_y: Tensor, weight_x: Tensor) -> Tensor:
        ctx.save_for_backward(weight_y, weight_x)
        return _resample_rows(by_row, weight_y, weight_x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        weight_y, weight_x = ctx.saved_tensors
        lines = grad[..., None] * weight_x[:, :, None]
        return torch.bmm(weight_y.transpose(1, 2), lines.flatten(2)), None, None
