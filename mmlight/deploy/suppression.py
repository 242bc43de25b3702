"""Non-maximum suppression of a batch with outputs of fixed size, by ONNX's own operator or in TorchScript."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class NonMaxSuppression(torch.autograd.Function):
    """ONNX's ``NonMaxSuppression`` in an exported graph; elsewhere the same by mmcv's ``nms``.

    Boxes ``(N, M, 4)``, scores ``(N, 1, M)``, boxes to keep for each image at most, overlap above which the lower score
    goes, score that a box needs more than -> ``(n, 3)`` int64 rows of (image, 0, box).
    """

    @staticmethod
    def forward(ctx: Any, boxes: Tensor, scores: Tensor, limit: int, overlap: float, score_thr: float) -> Tensor:
        if torch.onnx.is_in_onnx_export():  # `symbolic` is what is exported, only the type of the result is looked at
            return boxes.new_zeros((1, 3), dtype=torch.int64)
        from mmcv.ops import nms

        rows = []
        for image, (of_image, (values,)) in enumerate(zip(boxes, scores, strict=True)):
            able = (values > score_thr).nonzero().flatten()
            _, kept = nms(of_image[able], values[able], overlap)
            found = able[kept[:limit]]
            rows.append(torch.stack([torch.full_like(found, image), torch.zeros_like(found), found], 1))
        return torch.cat(rows)

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, limit: int, overlap: float, score_thr: float) -> Any:
        def constant(value: float, dtype: torch.dtype) -> Any:
            return g.op('Constant', value_t=torch.tensor([value], dtype=dtype))

        limits = constant(limit, torch.int64), constant(overlap, torch.float32), constant(score_thr, torch.float32)
        return g.op('NonMaxSuppression', boxes, scores, *limits)


def _greedy(boxes: Tensor, scores: Tensor, limit: int, overlap: float, score_thr: float) -> Tensor:
    """What :class:`NonMaxSuppression` computes, in TorchScript's own operators."""
    rows: list[Tensor] = []
    for image in range(boxes.shape[0]):
        found = (scores[image, 0] > score_thr).nonzero()[:, 0]
        rest = found[scores[image, 0, found].argsort(descending=True, stable=True)]
        number = 0
        while rest.numel() > 0 and number < limit:
            best, rest = rest[0], rest[1:]
            rows.append(torch.stack([torch.full_like(best, image), torch.zeros_like(best), best]))
            number += 1
            one, others = boxes[image, best], boxes[image, rest]
            sides = (torch.minimum(others[:, 2:], one[2:]) - torch.maximum(others[:, :2], one[:2])).clamp(min=0)
            common = sides[:, 0] * sides[:, 1]
            areas = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
            union = areas + (one[2] - one[0]) * (one[3] - one[1]) - common
            rest = rest[~(common > overlap * union)]
    return torch.stack(rows) if len(rows) > 0 else torch.zeros((0, 3), dtype=torch.int64, device=boxes.device)


def suppress(
    boxes: Tensor,
    scores: Tensor,
    groups: Tensor,
    limit: int,
    size: Any,
    overlap: float,
    score_thr: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The best boxes that no better one of their group covers, for each image, sorted by score.

    Args:
        boxes: ``(N, M, 4)`` as x1, y1, x2, y2 in pixels, none negative.
        scores: ``(N, M)``, positive.
        groups: ``(N, M)`` or ``(1, M)``, class or level of each box; boxes of different groups never cover each other.
        limit: Boxes to keep for each image.
        size: ``min(limit, M)``; a tensor where the graph takes images of any size.
        overlap: IoU above which a box covers another one.
        score_thr: Score that a box needs more than.

    Returns:
        ``(N, size, 4)``, ``(N, size)`` and ``(N, size)``. Where fewer boxes are left the rest has score 0 and any box
        and group.
    """
    beside = boxes + (groups * (boxes.amax((1, 2))[:, None] + 1))[..., None]  # each group in a place of its own
    scripted = torch.jit.is_tracing() and not torch.onnx.is_in_onnx_export()
    find = torch.jit.script(_greedy) if scripted else NonMaxSuppression.apply
    rows = find(beside, scores[:, None], limit, overlap, score_thr)
    kept = torch.zeros_like(scores).index_put((rows[:, 0], rows[:, 2]), scores.new_tensor(1.0))
    best, index = (scores * kept).topk(size)
    return boxes.gather(1, index[..., None].expand(-1, -1, 4)), best, groups.expand_as(scores).gather(1, index)
