"""Online hard example mining over pixels, whose loss is the mean of those that are kept."""

from typing import Any

import torch
from mmseg.structures.sampler.base_pixel_sampler import BasePixelSampler
from torch import Tensor

from mmlight.errors import InputError
from mmlight.registry import TASK_UTILS


@TASK_UTILS.register_module()
class KeptPixelSampler(BasePixelSampler):
    """OHEM of BiSeNet's authors (ycszen/TorchSeg): pixels whose class has a probability of at most ``thresh`` count,
    and always the ``min_kept`` hardest ones; all of them, where no more are labelled.

    mmseg's ``OHEMPixelSampler`` chooses the same pixels (but for ties) and divides their loss by the number of labelled
    ones, which makes it up to sixteen times smaller. Here the kept ones weigh ``labelled / kept``, so that a mean over
    labelled pixels (``CrossEntropyLoss`` with ``avg_non_ignore``) is one over the kept.

    Args:
        context: The head, which knows the label to ignore.
        thresh: Probability up to which a pixel is hard.
        min_kept: Pixels that are kept at least, for each image of the batch.

    Raises:
        InputError: for values out of range.
    """

    def __init__(self, context: Any, thresh: float = 0.7, min_kept: int = 65536):
        super().__init__()
        if not 0 < thresh <= 1 or type(min_kept) is not int or min_kept < 1:
            raise InputError(
                f'KeptPixelSampler: thresh must be above 0 and at most 1, min_kept a positive integer, got {thresh}, '
                f'{min_kept!r}'
            )
        self.context, self.thresh, self.min_kept = context, thresh, min_kept

    @torch.no_grad()
    def sample(self, seg_logit: Tensor, seg_label: Tensor) -> Tensor:
        """``(N, C, H, W)`` and labels ``(N, 1, H, W)`` to weights ``(N, H, W)``."""
        labels = seg_label.squeeze(1).long()
        kept = labelled = labels != self.context.ignore_index
        count, wanted = labelled.sum(), self.min_kept * len(labels)
        if count >= wanted:
            known = labels.masked_fill(~labelled, 0).unsqueeze(1)
            probabilities = seg_logit.softmax(1).gather(1, known).squeeze(1)
            hardest = probabilities[labelled].kthvalue(wanted).values
            kept = labelled & (probabilities <= hardest.clamp(min=self.thresh))
        return kept * (count / kept.sum().clamp(min=1))
