"""What the position-sensitive RoI operators share: arguments, checks, images one after the other, precision."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from mmlight import checks
from mmlight.errors import InputError


class PositionSensitive(nn.Module):
    """Base of the operators whose output cell ``[r, k, p, q]`` reads only channel ``(k * P + p) * Q + q`` of RoI ``r``.

    Args:
        output_size: Bins ``P`` or ``(P, Q)``, rows first.
        spatial_scale: Feature pixels per input pixel, ``1 / stride``.

    Raises:
        InputError: for an argument that cannot work, naming it, its value and what is allowed.
    """

    def __init__(self, output_size: int | tuple[int, int], spatial_scale: float):
        super().__init__()
        name = type(self).__name__
        pair = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size, output_size)
        if len(pair) != 2 or not all(type(bins) is int and bins >= 1 for bins in pair):
            raise InputError(f'{name}: output_size must be one or two positive integers, got {output_size!r}')
        checks.positive(name, spatial_scale=spatial_scale)
        self.output_size = pair
        self.spatial_scale = spatial_scale

    def forward(self, features: Tensor, rois: Tensor) -> Tensor:
        """Pool every RoI from its image. No gradient flows to the RoIs.

        Args:
            features: ``(N, K * P * Q, H, W)``.
            rois: ``(R, 5)``, each ``(image index, x1, y1, x2, y2)`` in input pixels, in any order.

        Returns:
            ``(R, K, P, Q)`` in the features' dtype; computed in float32 at least.

        Raises:
            InputError: for shapes or devices that do not fit, and for the index of an image that is not there.
                A RoI that is not finite is no error; what comes of it is undefined, and of the others as usual.
        """
        self._check(features, rois)
        kind = features.device.type
        with nullcontext() if kind == 'meta' else torch.autocast(kind, enabled=False):
            precise = features if features.dtype == torch.float64 else features.float()
            rois = rois.detach().to(precise.dtype)
            if len(features) == 1:
                if kind != 'meta' and not torch.jit.is_tracing() and rois[:, 0].any():
                    raise self._no_such_image(1)
                return self._pool(precise[0], rois[:, 1:]).to(features.dtype)
            members = [(rois[:, 0] == image).nonzero().flatten() for image in range(len(features))]
            if sum(map(len, members)) < len(rois):
                raise self._no_such_image(len(features))
            pooled = torch.cat([self._pool(precise[i], rois[index, 1:]) for i, index in enumerate(members)])
            return pooled[torch.cat(members).argsort()].to(features.dtype)

    def _no_such_image(self, images: int) -> InputError:
        return InputError(f'{type(self).__name__}: rois must name images 0..{images - 1} in their first column')

    def _check(self, features: Tensor, rois: Tensor) -> None:
        name, (rows, columns) = type(self).__name__, self.output_size
        if features.dim() != 4 or features.shape[1] % (rows * columns):
            raise InputError(f'{name}: features must be (N, K * {rows} * {columns}, H, W), got {tuple(features.shape)}')
        if rois.dim() != 2 or rois.shape[1] != 5:
            raise InputError(f'{name}: rois must be (R, 5), got {tuple(rois.shape)}')
        if rois.device != features.device:
            raise InputError(f'{name}: rois are on {rois.device}, features on {features.device}')

    def _pool(self, features: Tensor, boxes: Tensor) -> Tensor:
        """``(K * P * Q, H, W)`` and ``(R, 4)`` of one image to ``(R, K, P, Q)``."""
        raise NotImplementedError
