"""Non-maximum suppression: hard, soft (arXiv 1704.04503) and with the list of what each box suppressed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mmlight.compat.ops_fallback.torchvision_kernels import kernels

_BLOCK = {'cpu': 64, 'cuda': 1024}  # boxes compared at once: small for the CPU's caches, large for few GPU launches


def nms(boxes: Tensor, scores: Tensor, *, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes that no better box overlaps by more than the threshold, best first.

    Args:
        boxes: (N, 4) as x1, y1, x2, y2.
        scores: (N,).
        iou_threshold: a box goes when its IoU with a kept one is greater.
        offset: 1 counts a box from pixel to pixel (width x2 - x1 + 1), else 0.

    Returns:
        (K,) long, on the boxes' device. Memory grows linearly with N.
    """
    if boxes.numel() == 0:
        return torch.empty(0, dtype=torch.long, device=boxes.device)
    boxes = _in_float(boxes)
    native = kernels(boxes)
    if native is not None and offset == 0:
        return native.nms(boxes, scores.to(boxes.dtype), float(iou_threshold))
    # Not a stable sort: among equal scores only this order is the compiled operator's.
    index = scores.sort(0, descending=True)[1]
    data = _columns(boxes[index], offset)
    threshold = float(np.float32(iou_threshold))
    block = _BLOCK.get(boxes.device.type, 1024)
    kept = []
    while index.numel():
        head, rest = data[:, :block], data[:, block:]
        best = _greedy(_iou(head, head, offset) > threshold)
        kept.append(index[:block][best])
        if rest.size(1) == 0:
            break
        alive = ~(_iou(head[:, best], rest, offset) > threshold).any(0)
        data, index = rest[:, alive], index[block:][alive]
    return torch.cat(kept)


@np.errstate(invalid='ignore', divide='ignore')
def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    *,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of overlapped boxes instead of removing the boxes.

    Each step takes the best remaining box, multiplies the other scores by a weight of their IoU with it, and drops
    those that fall below ``min_score``. O(N) vectorised work a step. The array is permuted exactly as by mmcv's
    operator, because its permutation decides between equal scores.

    Args:
        boxes: (N, 4), on the CPU.
        scores: (N,), on the CPU.
        dets: (N, 5), on the CPU; its first K rows are filled with the kept boxes and their lowered scores.
        iou_threshold: naive and linear leave boxes below it alone.
        sigma: width of the gaussian method.
        min_score: see above.
        method: 0 naive (weight 0), 1 linear (1 - IoU), 2 gaussian (exp(-IoU^2 / sigma)).
        offset: see :func:`nms`.

    Returns:
        (K,) long: the kept boxes' indices, in the order of ``dets``.
    """
    if boxes.numel() == 0:
        return torch.empty(0, dtype=torch.long)
    columns = _columns(_in_float(boxes), offset)
    data = torch.cat([columns, scores.to(columns.dtype)[None]]).numpy()  # rows x1, y1, x2, y2, area, score
    index = np.arange(data.shape[1])
    threshold, sigma, min_score = (data.dtype.type(value) for value in (iou_threshold, sigma, min_score))
    end, step = data.shape[1], 0
    while step < end:
        best = step + _first_best(data[5, step:end])
        if best != step:
            column = data[:, step].copy()
            data[:, step] = data[:, best]
            data[:, best] = column
            index[step], index[best] = index[best], index[step]
        others = data[:, step + 1 : end]
        if others.shape[1]:
            others[5] *= _decay(_iou_with(data[:, step], others, offset), threshold, sigma, method)
            end = step + 1 + _drop(others, index[step + 1 : end], others[5] < min_score)
        step += 1
    dets[:end] = torch.from_numpy(data[[0, 1, 2, 3, 5], :end].T.copy()).to(dets.dtype)
    return torch.from_numpy(index[:end].copy())


@np.errstate(invalid='ignore', divide='ignore')
def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Groups of boxes: first a kept box, then those it suppressed (IoU at least the threshold), best first.

    Args:
        dets: (N, 5) boxes and scores.
        iou_threshold: see above.
    """
    if dets.numel() == 0:
        return []
    order = dets[:, 4].sort(0, descending=True)[1]
    data = _columns(_in_float(dets[:, :4])[order], 0).cpu().numpy()
    index = order.cpu().numpy()
    groups = []
    while index.size:
        matched = _iou_with(data[:, 0], data[:, 1:], 0) >= data.dtype.type(iou_threshold)
        groups.append([int(index[0]), *index[1:][matched].tolist()])
        data, index = data[:, 1:][:, ~matched], index[1:][~matched]
    return groups


def bbox_overlaps(a: Tensor, b: Tensor, ious: Tensor, *, mode: int, aligned: bool, offset: int) -> None:
    """Fill ``ious``: (A, B), or (A,) of pairs, with the IoU (mode 0) or the share of ``a`` (mode 1) of boxes."""
    first, second = _columns(_in_float(a), offset), _columns(_in_float(b), offset)
    first, second = (first, second) if aligned else (first[:, :, None], second[:, None])
    low = torch.maximum(first[:2], second[:2])
    width, height = (torch.minimum(first[2:4], second[2:4]) - low + offset).clamp(min=0)
    common = width * height
    union = first[4] + second[4] - common if mode == 0 else first[4].expand_as(common)
    ious.copy_(common / union.clamp(min=offset))


def _in_float(boxes: Tensor) -> Tensor:
    return boxes if boxes.dtype in (torch.float32, torch.float64) else boxes.float()


def _columns(boxes: Tensor, offset: int) -> Tensor:
    """(N, 4) boxes -> (5, N): x1, y1, x2, y2 and the area."""
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack([x1, y1, x2, y2, (x2 - x1 + offset) * (y2 - y1 + offset)])


def _iou(a: Tensor, b: Tensor, offset: int) -> Tensor:
    """(5, A) and (5, B) columns -> (A, B)."""
    a = a[:, :, None]
    width = torch.minimum(a[2], b[2]).sub_(torch.maximum(a[0], b[0])).add_(offset).clamp_(min=0)
    height = torch.minimum(a[3], b[3]).sub_(torch.maximum(a[1], b[1])).add_(offset).clamp_(min=0)
    inter = width.mul_(height)
    return inter / (a[4] + b[4]).sub_(inter)


def _iou_with(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    """IoU of one column (x1, y1, x2, y2, area, ...) with the columns of ``others``; 0 / 0 is NaN."""
    width = np.minimum(box[2], others[2]) - np.maximum(box[0], others[0])
    height = np.minimum(box[3], others[3]) - np.maximum(box[1], others[1])
    if offset:
        width += offset
        height += offset
    inter = np.maximum(width, 0) * np.maximum(height, 0)
    return inter / (box[4] + others[4] - inter)


def _greedy(overlaps: Tensor) -> Tensor:
    """(B, B) overlap matrix of boxes, best first -> indices of those that no kept earlier one overlaps."""
    packed = np.packbits(overlaps.cpu().numpy(), axis=1, bitorder='little')
    removed, best = 0, []
    for i, row in enumerate(packed):
        if not removed >> i & 1:
            best.append(i)
            removed |= int.from_bytes(row.tobytes(), 'little')
    return torch.tensor(best, device=overlaps.device)


def _first_best(scores: np.ndarray) -> int:
    """Position of the first greatest score, as a scan with ``<`` finds it: nothing is greater than a leading NaN."""
    best = int(scores.argmax())
    if np.isnan(scores[best]):  # argmax prefers NaN
        best = 0 if np.isnan(scores[0]) else int(np.nanargmax(scores))
    return best


def _decay(iou: np.ndarray, threshold: float, sigma: float, method: int) -> np.ndarray:
    if method == 2:
        return np.exp(-(iou * iou) / sigma)
    weight = np.ones_like(iou)
    above = iou >= threshold
    weight[above] = 0 if method == 0 else 1 - iou[above]
    return weight


def _drop(data: np.ndarray, index: np.ndarray, dead: np.ndarray) -> int:
    """Fill the dead columns, in order, with the last living ones; returns how many live."""
    living = dead.size - int(np.count_nonzero(dead))
    if living < dead.size:
        holes = np.flatnonzero(dead[:living])
        movers = living + np.flatnonzero(~dead[living:])[::-1]
        data[:, holes] = data[:, movers]
        index[holes] = index[movers]
    return living
