"""Operators whose kernel depends on the place: masked convolution, CARAFE (arXiv 1905.02188), PSANet's masks."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlight.compat.ops_fallback.sampling import gradients, in_float


def masked_im2col_forward(
    input: Tensor,
    rows: Tensor,
    columns: Tensor,
    output: Tensor,
    *,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Fill ``output`` (C * kernel_h * kernel_w, M) with the patches of ``input`` (1, C, H, W) around M places."""
    padded = F.pad(input[0], (pad_w, pad_w, pad_h, pad_h))
    y = rows[None, :] + torch.arange(kernel_h, device=input.device)[:, None]
    x = columns[None, :] + torch.arange(kernel_w, device=input.device)[:, None]
    output.copy_(padded[:, y[:, None], x[None]].flatten(0, 2))


def masked_col2im_forward(
    columns: Tensor, rows: Tensor, columns_at: Tensor, output: Tensor, *, height: int, width: int, channels: int
) -> None:
    """Write ``columns`` (C, M) to M places of ``output`` (1, C, height, width)."""
    output[0][:, rows, columns_at] = columns


def _carafe(features: Tensor, masks: Tensor, size: int, groups: int, scale: int) -> Tensor:
    """(N, C, H, W) and masks (N, groups * size^2, H * scale, W * scale) -> (N, C, H * scale, W * scale)."""
    n, channels, height, width = features.shape
    patches = F.unfold(features, size, padding=size // 2).view(n, groups, channels // groups, size**2, height, width)
    masks = masks.view(n, groups, size**2, height, scale, width, scale)
    return torch.einsum('ngckhw,ngkhawb->ngchawb', patches, masks).reshape(n, channels, height * scale, -1)


def carafe_naive_forward(
    features: Tensor, masks: Tensor, output: Tensor, *, kernel_size: int, group_size: int, scale_factor: int
) -> None:
    """Fill ``output``; see :func:`_carafe`."""
    output.copy_(_carafe(in_float(features), in_float(masks), kernel_size, group_size, scale_factor))


def carafe_naive_backward(
    grad_output: Tensor, features: Tensor, masks: Tensor, grad_input: Tensor, grad_masks: Tensor, **sizes: int
) -> None:
    """Fill the gradients of ``features`` and ``masks``."""
    found = gradients(lambda f, m: _carafe(f, m, *sizes.values()), (features, masks), grad_output)
    for target, value in zip((grad_input, grad_masks), found, strict=True):
        target.copy_(value)


def carafe_forward(
    features: Tensor, masks: Tensor, rfeatures: Tensor, routput: Tensor, rmasks: Tensor, output: Tensor, **sizes: int
) -> None:
    """Fill ``output``, and ``rfeatures`` with what the backward gets back as features; the rest is scratch."""
    rfeatures.copy_(features)
    carafe_naive_forward(features, masks, output, **sizes)


def carafe_backward(grad_output: Tensor, features: Tensor, masks: Tensor, *buffers: Tensor, **sizes: Any) -> None:
    """Fill the last two buffers, the gradients of ``features`` and ``masks``; the others are scratch."""
    carafe_naive_backward(grad_output, features, masks, *buffers[-2:], **sizes)


def _psa_mask(input: Tensor, psa_type: int, sizes: dict[str, Any]) -> Tensor:
    """(N, mask rows * mask columns, H, W) -> (N, H * W, H, W): masks centred on their place, cut at the map's edge.

    Collecting (type 0) has the other place in the channel, distributing (type 1) the mask's own.
    """
    height, width = sizes['h_feature'], sizes['w_feature']
    y = torch.arange(height * width, device=input.device).div(width, rounding_mode='floor')
    x = torch.arange(height * width, device=input.device) % width
    row = y[:, None] - y + sizes['half_h_mask']  # [other place, own place]
    column = x[:, None] - x + sizes['half_w_mask']
    inside = (row >= 0) & (row < sizes['h_mask']) & (column >= 0) & (column < sizes['w_mask'])
    index = (row * sizes['w_mask'] + column).where(inside, row.new_zeros(()))
    values = input.flatten(2).gather(1, index.expand(len(input), -1, -1)) * inside
    return (values if psa_type == 0 else values.transpose(1, 2)).reshape(len(input), -1, height, width)


def psamask_forward(input: Tensor, output: Tensor, *, psa_type: int, num_: int, **sizes: int) -> None:
    """Fill ``output``; see :func:`_psa_mask`."""
    output.copy_(_psa_mask(input, psa_type, sizes))


def psamask_backward(grad_output: Tensor, grad_input: Tensor, *, psa_type: int, num_: int, **sizes: int) -> None:
    """Fill the gradient of the masks."""
    (found,) = gradients(lambda i: _psa_mask(i, psa_type, sizes), (torch.zeros_like(grad_input),), grad_output)
    grad_input.copy_(found)
