"""Rotated and quadrilateral boxes: overlaps, suppression, and RoI align of rotated regions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmlight.compat.ops_fallback.sampling import gradients, grid_points, in_float, pool, sampling_grids

_PAIRS = 1 << 16  # compared at once
_BLOCK = 64  # boxes suppressed at once


def corners_of_rotated(boxes: Tensor) -> Tensor:
    """(N, 5) centre, width, height and angle in radian, clockwise in the image -> (N, 4, 2)."""
    x, y, width, height, angle = boxes.double()[:, :5].unbind(1)
    across = torch.stack([angle.cos() * width, angle.sin() * width], 1) / 2
    down = torch.stack([-angle.sin() * height, angle.cos() * height], 1) / 2
    centre = torch.stack([x, y], 1)
    return torch.stack(
        [centre - across - down, centre + across - down, centre + across + down, centre - across + down], 1
    )


def corners_of_quadri(boxes: Tensor) -> Tensor:
    """(N, 8) four corners -> (N, 4, 2)."""
    return boxes.double()[:, :8].reshape(-1, 4, 2)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _area(polygons: Tensor) -> Tensor:
    return _cross(polygons, polygons.roll(-1, -2)).sum(-1).abs() / 2


def _inside(points: Tensor, polygon: Tensor) -> Tensor:
    """Whether each of (P, 4, 2) points lies in, or on the edge of, the convex (P, 4, 2) polygon."""
    side = _cross((polygon.roll(-1, 1) - polygon)[:, None], points[:, :, None] - polygon[:, None])
    slack = 1e-9 * side.abs().amax((1, 2), keepdim=True)
    return (side >= -slack).all(2) | (side <= slack).all(2)


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    """Common area (P,) of pairs of convex quadrilaterals (P, 4, 2)."""
    along_a, along_b = (a.roll(-1, 1) - a)[:, :, None], (b.roll(-1, 1) - b)[:, None]
    gap, slope = b[:, None] - a[:, :, None], _cross(along_a, along_b)
    at_a, at_b = _cross(gap, along_b) / slope, _cross(gap, along_a) / slope
    meet = (slope != 0) & (at_a >= 0) & (at_a <= 1) & (at_b >= 0) & (at_b <= 1)
    points = torch.cat([(a[:, :, None] + at_a.nan_to_num(0, 0, 0)[..., None] * along_a).flatten(1, 2), a, b], 1)
    valid = torch.cat([meet.flatten(1), _inside(a, b), _inside(b, a)], 1)
    centre = (points * valid[..., None]).sum(1) / valid.sum(1, keepdim=True).clamp(min=1)
    points = points - centre[:, None]
    angle = torch.atan2(points[..., 1], points[..., 0]).masked_fill(~valid, torch.inf)
    order = angle.argsort(1)
    points = points.gather(1, order[..., None].expand_as(points))
    # what is no corner repeats the first one and adds no area
    points = points.where(valid.gather(1, order)[..., None], points[:, :1])
    return _area(points) * (valid.sum(1) > 2)


def _overlaps(a: Tensor, b: Tensor, mode: int = 0) -> Tensor:
    """IoU (mode 0), or the share of ``a`` (mode 1), of pairs of corners (P, 4, 2)."""
    centre = (a.mean(1, keepdim=True) + b.mean(1, keepdim=True)) / 2
    a, b = a - centre, b - centre
    common, area_a, area_b = _intersection(a, b), _area(a), _area(b)
    share = common / (area_a + area_b - common if mode == 0 else area_a)
    return share.where((area_a >= 1e-14) & (area_b >= 1e-14), share.new_zeros(()))


def _matrix(a: Tensor, b: Tensor, mode: int = 0) -> Tensor:
    """:func:`_overlaps` of everything with everything: (N, M)."""
    rows = [
        _overlaps(part.repeat_interleave(len(b), 0), b.repeat(len(part), 1, 1), mode).view(len(part), -1)
        for part in a.split(max(1, _PAIRS // max(1, len(b))))
    ]
    return torch.cat(rows) if rows else a.new_zeros(0, len(b))


def _iou(corners: Callable[[Tensor], Tensor]) -> Callable[..., None]:
    def iou(boxes1: Tensor, boxes2: Tensor, ious: Tensor, *, mode_flag: int, aligned: bool) -> None:
        a, b = corners(boxes1), corners(boxes2)
        ious.copy_(_overlaps(a, b, mode_flag) if aligned else _matrix(a, b, mode_flag).reshape(-1))

    return iou


def _suppress(corners: Tensor, order: Tensor, threshold: float) -> Tensor:
    """Indices of the boxes, best first, that no better one overlaps by the threshold or more."""
    kept = []

    def hits(one: Tensor, other: Tensor) -> Tensor:
        return _matrix(corners[one], corners[other]) >= threshold

    while order.numel():
        head, rest = order[:_BLOCK], order[_BLOCK:]
        overlapping = hits(head, head).tolist()
        best: list[int] = []
        for number in range(len(head)):
            if not any(overlapping[earlier][number] for earlier in best):
                best.append(number)
        kept.append(head[best])
        order = rest[~hits(kept[-1], rest).any(0)] if rest.numel() else rest
    return torch.cat(kept) if kept else order


def nms_rotated(
    dets: Tensor, scores: Tensor, order: Tensor, sorted_: Tensor, labels: Tensor, threshold: float, multi_label: bool
) -> Tensor:
    """Indices (K,) of the kept ones of ``dets`` (N, 5, or 6 with the label, which mmcv's operator ignores too)."""
    return _suppress(corners_of_rotated(dets), order, threshold)


def nms_quadri(
    dets: Tensor, scores: Tensor, order: Tensor, sorted_: Tensor, threshold: float, multi_label: bool
) -> Tensor:
    """Indices (K,) of the kept ones of ``dets`` (N, 8, or 9 with the label, which mmcv's operator ignores too)."""
    return _suppress(corners_of_quadri(dets), order, threshold)


box_iou_rotated, box_iou_quadri = _iou(corners_of_rotated), _iou(corners_of_quadri)
box_iou_rotated.__name__, box_iou_quadri.__name__ = 'box_iou_rotated', 'box_iou_quadri'


def _pool_rotated(input: Tensor, rois: Tensor, settings: dict[str, Any]) -> Tensor:
    """(N, C, H, W) and regions (R, 6): image, centre, width, height, angle -> (R, C, rows, columns)."""
    size = rows, columns = settings['pooled_height'], settings['pooled_width']
    scale, shift = settings['spatial_scale'], 0.5 if settings['aligned'] else 0.0
    _, x, y, width, height, angle = rois.to(input.dtype).unbind(1)
    x, y, width, height = x * scale - shift, y * scale - shift, width * scale, height * scale
    if not settings['aligned']:
        width, height = width.clamp(min=1), height.clamp(min=1)
    angle = -angle if settings['clockwise'] else angle
    output = input.new_zeros(len(rois), input.size(1), *size)
    for down, across, at in sampling_grids(height / rows, width / columns, settings['sampling_ratio']):
        along_y = (grid_points(rows, down, input) / rows - 0.5) * height[at][:, None, None]
        along_x = (grid_points(columns, across, input) / columns - 0.5) * width[at][:, None, None]
        along_y, along_x = along_y[:, :, None, :, None], along_x[:, None, :, None, :]
        cosine, sine = (value[at].view(-1, 1, 1, 1, 1) for value in (angle.cos(), angle.sin()))
        to_y = along_y * cosine - along_x * sine + y[at].view(-1, 1, 1, 1, 1)
        to_x = along_y * sine + along_x * cosine + x[at].view(-1, 1, 1, 1, 1)
        to_y, to_x = (value.reshape(len(at), rows * columns, -1) for value in (to_y, to_x))
        output = output.index_copy(0, at, pool(input, rois[at, 0], to_y, to_x).unflatten(2, size))
    return output


def roi_align_rotated_forward(input: Tensor, rois: Tensor, output: Tensor, **settings: Any) -> None:
    """Fill ``output``; see :func:`_pool_rotated`."""
    output.copy_(_pool_rotated(in_float(input), rois, settings))


def roi_align_rotated_backward(grad_output: Tensor, rois: Tensor, grad_input: Tensor, **settings: Any) -> None:
    """Fill ``grad_input`` (N, C, H, W)."""
    (found,) = gradients(lambda i: _pool_rotated(i, rois, settings), (torch.zeros_like(grad_input),), grad_output)
    grad_input.copy_(found)
