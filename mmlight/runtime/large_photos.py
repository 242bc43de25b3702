"""Labels of photos whose logits would not fit into memory."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import PixelData
from torch import Tensor, nn

LARGEST_LOGITS = 2**26
"""Values that are resized at once: 268 MB."""


def spare_memory(model: nn.Module) -> None:
    """Let a segmentor of mmseg label a large photo class by class.

    mmseg resizes the logits of all classes to the photo's size, for 19 classes and 24 megapixels 1.8 GB, and then looks
    for the largest; here one class at a time is compared with the largest before it. The labels are the same. Small
    photos, single-channel outputs and augmented ones go mmseg's way.
    """
    usual: Any = getattr(model, 'postprocess_result', None)
    if usual is None:
        return

    def postprocess(logits: Tensor, samples: Sequence[Any] | None = None) -> Sequence[Any]:
        if samples is None or logits.shape[1] == 1 or not all(_is_large(logits, sample) for sample in samples):
            return usual(logits, samples)
        height, width = logits.shape[2:]
        for one, sample in zip(logits, samples, strict=True):
            meta = sample.metainfo
            left, right, top, bottom = meta.get('img_padding_size', meta.get('padding_size', (0, 0, 0, 0)))
            one = one[:, top : height - bottom, left : width - right]
            aligned: Any = model.align_corners
            labels = label_by_class(one, meta['ori_shape'][:2], aligned)
            sample.pred_sem_seg = PixelData(data=labels)
        return samples

    vars(model)['postprocess_result'] = postprocess


def _is_large(logits: Tensor, sample: Any) -> bool:
    height, width = sample.metainfo['ori_shape'][:2]
    return 'flip' not in sample.metainfo and logits.shape[1] * height * width > LARGEST_LOGITS


def label_by_class(logits: Tensor, size: tuple[int, int], align_corners: bool) -> Tensor:
    """``(classes, h, w)`` to the number of the largest class ``(1, H, W)`` in another size, one class after another."""
    best: Any = None
    kind = torch.uint8 if len(logits) <= 256 else torch.int64
    for number, channel in enumerate(logits):
        grown = nn.functional.interpolate(channel[None, None], size, mode='bilinear', align_corners=align_corners)[0]
        if best is None:
            best, labels = grown, torch.zeros(grown.shape, dtype=kind, device=grown.device)
            continue
        labels[grown > best] = number
        torch.maximum(best, grown, out=best)
    return labels
