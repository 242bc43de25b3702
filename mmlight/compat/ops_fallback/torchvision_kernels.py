"""torchvision's GPU kernels, where they work."""

from __future__ import annotations

import functools
from typing import Any

import torch


def kernels(tensor: torch.Tensor) -> Any | None:
    """``torch.ops.torchvision`` for a tensor on a GPU where its kernels were seen to work; else None."""
    return _probe(str(tensor.device)) if tensor.is_cuda else None


@functools.lru_cache
def _probe(device: str) -> Any | None:
    # Not ImportError alone: a torchvision built for another torch raises RuntimeError, at import or at the first call.
    try:
        import torchvision  # noqa: F401

        operators = torch.ops.torchvision
        box = torch.tensor([[0.0, 0.0, 2.0, 2.0]], device=device)
        kept = operators.nms(box, box[:, 2], 0.5)
        roi = torch.cat([box[:, :1], box], 1)
        pooled = operators.roi_align(box.new_ones(1, 1, 4, 4), roi, 1.0, 1, 1, 1, True)
        grad = operators._roi_align_backward(pooled, roi, 1.0, 1, 1, 1, 1, 4, 4, 1, True)
        works = kept.tolist() == [0] and pooled.item() == 1 and grad.sum().item() == 1
    except Exception:
        return None
    return operators if works else None
