"""Deformable operators: convolution (arXiv 1703.06211, modulated 1811.11168), RoI pooling, attention (2010.04159)."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from mmlight.compat.ops_fallback.sampling import gradients, grid_points, in_float, pool, sample, sampling_grids


def _convolve(input: Tensor, offset: Tensor, weight: Tensor, mask: Tensor | None, geometry: Any) -> Tensor:
    """(N, C, H, W) -> (N, O, Ho, Wo): every tap of the kernel is sampled where its offset says.

    Args:
        input: (N, C, H, W).
        offset: (N, G * taps * 2, Ho, Wo), y before x.
        weight: (O, C / groups, kh, kw).
        mask: (N, G * taps, Ho, Wo) factor of every sample, or None.
        geometry: (stride, padding, dilation) as pairs, groups, deformable groups G.
    """
    stride, padding, dilation, groups, deform_groups = geometry
    (n, channels), taps = input.shape[:2], weight[0, 0].numel()
    height, width = (
        (input.size(2 + axis) + 2 * padding[axis] - dilation[axis] * (weight.size(2 + axis) - 1) - 1) // stride[axis]
        + 1
        for axis in (0, 1)
    )
    places = []
    for axis, length in enumerate((height, width)):
        index = torch.arange(taps, device=input.device)
        tap = index % weight.size(3) if axis else index.div(weight.size(3), rounding_mode='floor')
        start = torch.arange(length, device=input.device) * stride[axis] - padding[axis]
        shape = (1, 1, -1) if axis else (1, -1, 1)
        places.append(tap[:, None, None] * dilation[axis] + start.view(shape))
    # The compiled operator reads larger maps, which mmdet's DyHead hands over, as if they had the output's size.
    count = deform_groups * taps * height * width
    offset = offset.flatten(1)[:, : 2 * count].reshape(n * deform_groups, taps, 2, height, width)
    y, x = ((offset[:, :, axis] + places[axis]).flatten(1) for axis in (0, 1))
    columns = sample(input.reshape(n * deform_groups, -1, *input.shape[2:]), y, x)
    # a pixel before the first there is nothing, not even a derivative
    columns = (columns * ((y > -1) & (x > -1))[:, None]).view(n * deform_groups, -1, taps, height * width)
    if mask is not None:
        columns = columns * mask.flatten(1)[:, :count].reshape(n * deform_groups, 1, taps, -1)
    columns = columns.reshape(n, groups, channels // groups * taps, -1)
    return (weight.reshape(groups, len(weight) // groups, -1) @ columns).view(n, -1, height, width)


def _pairs(settings: dict[str, int]) -> tuple:
    """The settings of plain deformable convolution, in mmcv's names."""
    pairs = (tuple(settings[f'{name}{axis}'] for axis in 'HW') for name in ('d', 'pad', 'dilation'))
    return (*pairs, settings['group'], settings['deformable_group'])


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, columns: Tensor, ones: Tensor, **settings: int
) -> None:
    """Fill ``output``; see :func:`_convolve`. ``columns`` and ``ones`` are not used."""
    _check(offset, output)
    output.copy_(_convolve(in_float(input), in_float(offset), in_float(weight), None, _pairs(settings)))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **settings: int,
) -> None:
    """Fill the gradients of ``input`` and ``offset``."""
    found = gradients(
        lambda i, o: _convolve(i, o, in_float(weight), None, _pairs(settings)), (input, offset), grad_output
    )
    _fill((grad_input, grad_offset), found)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float = 1,
    **settings: int,
) -> None:
    """Add ``scale`` times the gradient of the weight."""
    fixed = in_float(input), in_float(offset)
    shape = torch.zeros_like(grad_weight)
    (found,) = gradients(lambda w: _convolve(*fixed, w, None, _pairs(settings)), (shape,), grad_output)
    grad_weight += (scale * found).to(grad_weight.dtype)


def _modulated(settings: dict[str, Any]) -> tuple:
    pairs = (tuple(settings[f'{name}_{axis}'] for axis in 'hw') for name in ('stride', 'pad', 'dilation'))
    return (*pairs, settings['group'], settings['deformable_group'])


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    **settings: int,
) -> None:
    """Fill ``output``; see :func:`_convolve`."""
    output.copy_(_convolve(in_float(input), in_float(offset), in_float(weight), in_float(mask), _modulated(settings)))
    if settings['with_bias']:
        output += bias.view(-1, 1, 1)


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    *grads: Tensor,
    **settings: int,
) -> None:
    """Fill the gradients; ``grads`` are those of input, weight, bias, offset and mask, then of the output."""
    grad_input, grad_weight, grad_bias, grad_offset, grad_mask, grad_output = grads
    function = functools.partial(_convolve, geometry=_modulated(settings))
    found = gradients(function, (input, offset, weight, mask), grad_output)
    _fill((grad_input, grad_offset, grad_weight, grad_mask), found)
    if settings['with_bias']:
        grad_bias.copy_(grad_output.sum((0, 2, 3)))


def _check(offset: Tensor, output: Tensor) -> None:
    if offset.shape[2:] != output.shape[2:]:
        raise RuntimeError(
            f'invalid spatial size of offset, expected {tuple(output.shape[2:])}, got {tuple(offset.shape[2:])}'
        )


def _fill(targets: tuple[Tensor, ...], values: tuple[Tensor, ...]) -> None:
    for target, value in zip(targets, values, strict=True):
        target.copy_(value)


def _deform_pool(input: Tensor, offset: Tensor, rois: Tensor, settings: dict[str, Any]) -> Tensor:
    """RoI align of bins that are shifted by ``gamma`` * offset (R, 2, bins; x before y) of the region's size."""
    size = rows, columns = settings['pooled_height'], settings['pooled_width']
    x1, y1, x2, y2 = (in_float(rois)[:, 1:] * settings['spatial_scale'] - 0.5).unbind(1)
    height, width = y2 - y1, x2 - x1
    shift = offset.reshape(len(rois), 2, *size) if offset.numel() else offset.new_zeros(len(rois), 2, *size)
    shift = shift * settings['gamma']
    top = y1[:, None, None] + shift[:, 1] * height[:, None, None]
    left = x1[:, None, None] + shift[:, 0] * width[:, None, None]
    output = input.new_zeros(len(rois), input.size(1), *size)
    for down, across, members in sampling_grids(height / rows, width / columns, settings['sampling_ratio']):
        at_y = grid_points(rows, down, input) * (height[members] / rows)[:, None, None]
        at_x = grid_points(columns, across, input) * (width[members] / columns)[:, None, None]
        y = top[members][..., None, None] + at_y[:, :, None, :, None]
        x = left[members][..., None, None] + at_x[:, None, :, None, :]
        y, x = (value.expand(-1, *size, down, across).reshape(len(members), rows * columns, -1) for value in (y, x))
        pooled = pool(input, rois[members, 0], y, x)
        output = output.index_copy(0, members, pooled.unflatten(2, size))
    return output


def deform_roi_pool_forward(input: Tensor, rois: Tensor, offset: Tensor, output: Tensor, **settings: Any) -> None:
    """Fill ``output`` (R, C, rows, columns)."""
    output.copy_(_deform_pool(in_float(input), in_float(offset), rois, settings))


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    **settings: Any,
) -> None:
    """Fill the gradients of ``input`` and ``offset``."""
    found = gradients(lambda i, o: _deform_pool(i, o, rois, settings), (input, offset), grad_output)
    _fill((grad_input, grad_offset), found)


def ms_deform_attn_forward(
    value: Tensor, shapes: Tensor, starts: Tensor, locations: Tensor, weights: Tensor, im2col_step: int
) -> Tensor:
    """mmcv's own formula in PyTorch, which it uses on the CPU; (N, queries, channels)."""
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(value, shapes, locations, weights)


def ms_deform_attn_backward(
    value: Tensor,
    shapes: Tensor,
    starts: Tensor,
    locations: Tensor,
    weights: Tensor,
    *grads: Tensor,
    im2col_step: int,
) -> None:
    """Fill the gradients; ``grads`` are those of the output, then of value, locations and weights."""
    grad_output, *targets = grads
    found = gradients(
        lambda v, at, w: ms_deform_attn_forward(v, shapes, starts, at, w, im2col_step),
        (value, locations, weights),
        grad_output,
    )
    _fill(tuple(targets), found)
