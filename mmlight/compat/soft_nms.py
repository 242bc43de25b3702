"""Soft suppression of all classes at once, where the boxes lie.

mmcv's ``batched_nms`` copies the boxes to the host for ``soft_nms``, and once a class where there are many: ThunderNet
waits for the device hundreds of times an image. Here the classes' best boxes are taken side by side, one a step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from mmlight.compat.wall import Wall, rebind

_LOOK = 256  # steps between two looks at whether anything is left


def soft_nms(
    boxes: Any,
    scores: Any,
    groups: Any,
    iou_threshold: float = 0.3,
    sigma: float = 0.5,
    min_score: float = 1e-3,
    method: str = 'linear',
    offset: int = 0,
) -> tuple[Any, Any]:
    """mmcv's ``soft_nms`` in every group of boxes; groups do not see each other.

    Args:
        boxes: (N, 4), on any device.
        scores: (N,).
        groups: (N,) integers.
        iou_threshold: as for ``mmcv.ops.soft_nms``.
        sigma: as there.
        min_score: as there.
        method: as there.
        offset: as there.

    Returns:
        Lowered scores (K,), best first, and the indices (K,) of their boxes. Of boxes with equal scores the first
        goes first. The host waits for the device four times, plus once for every 256 boxes of the largest group.
    """
    import torch

    if not len(boxes):
        return scores, groups.new_zeros(0, dtype=torch.long)
    order = groups.argsort(stable=True)
    counts = groups.unique(return_counts=True)[1]
    most = int(counts.max())
    row = torch.arange(len(counts), device=boxes.device).repeat_interleave(counts, output_size=len(boxes))
    column = torch.arange(len(boxes), device=boxes.device) - (counts.cumsum(0) - counts)[row]
    table = order.new_zeros(len(counts), most)
    table[row, column] = order
    left = scores.new_full((len(counts), most), -torch.inf, dtype=torch.float32)
    left[row, column] = scores[order].float()
    x1, y1, x2, y2 = boxes.float()[table].unbind(2)
    area = (x2 - x1 + offset) * (y2 - y1 + offset)
    final = torch.full_like(left, -torch.inf)
    for step in range(most):
        best, at = left.max(1, keepdim=True)
        final.scatter_(1, at, torch.maximum(best, final.gather(1, at)))  # -inf where nothing is left
        left.scatter_(1, at, -torch.inf)
        width = torch.minimum(x2, x2.gather(1, at)) - torch.maximum(x1, x1.gather(1, at)) + offset
        height = torch.minimum(y2, y2.gather(1, at)) - torch.maximum(y1, y1.gather(1, at)) + offset
        common = width.clamp(min=0) * height.clamp(min=0)
        iou = common / (area + area.gather(1, at) - common)
        if method == 'gaussian':
            weight = (-(iou * iou) / sigma).exp()
        else:
            weight = torch.where(iou >= iou_threshold, 0.0 if method == 'naive' else 1 - iou, 1.0)
        lowered = left * weight
        left = lowered.masked_fill((left == -torch.inf) | (lowered < min_score), -torch.inf)
        if step % _LOOK == _LOOK - 1 and not (left > -torch.inf).any():
            break
    kept = (final > -torch.inf).nonzero()
    found, best_first = final[kept[:, 0], kept[:, 1]].sort(descending=True, stable=True)
    kept = kept[best_first]
    return found.to(scores.dtype), table[kept[:, 0], kept[:, 1]]


def _batched(original: Callable) -> Callable:
    @functools.wraps(original)
    def batched_nms(boxes: Any, scores: Any, idxs: Any, nms_cfg: Any, class_agnostic: bool = False) -> Any:
        options = dict(nms_cfg or {})
        if options.pop('type', 'nms') != 'soft_nms' or boxes.device.type == 'cpu' or boxes.size(-1) != 4:
            return original(boxes, scores, idxs, nms_cfg, class_agnostic)
        import torch

        options.pop('split_thr', None)
        top = options.pop('max_num', -1)
        groups = torch.zeros_like(idxs) if options.pop('class_agnostic', class_agnostic) else idxs
        if 'iou_thr' in options:
            options['iou_threshold'] = options.pop('iou_thr')
        found, kept = soft_nms(boxes, scores, groups, **options)
        if top > 0:
            found, kept = found[:top], kept[:top]
        return torch.cat([boxes[kept], found[:, None]], 1), kept

    return batched_nms


def _apply(module: ModuleType) -> str:
    places = rebind(module.batched_nms, _batched(module.batched_nms))
    return f'soft suppression stays on the device ({places} places)'


WALLS = (Wall('soft-nms', _apply, target='mmcv.ops.nms'),)
