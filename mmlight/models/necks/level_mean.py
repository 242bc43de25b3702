"""What a classifier reads of a pyramid (SpineNet, arXiv 1912.05027)."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from mmlight.errors import InputError
from mmlight.registry import MODELS


@MODELS.register_module()
class LevelMean(BaseModule):
    """The mean over levels and space: the place of global average pooling behind a pyramid.

    Each level is upsampled (nearest) to the next finer one and added to it; the sum, divided by the number of levels,
    is averaged over space. Usable as the neck of mmpretrain's ``ImageClassifier``: its head reads the last of a
    tuple.
    """

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor]:
        """Maps ``(N, C, H, W)``, the finest first, to a tuple of one ``(N, C)``.

        Raises:
            InputError: the maps differ in their channels.
        """
        channels = {x.shape[1] for x in inputs}
        if len(channels) != 1:
            raise InputError(f'LevelMean: all levels must have the same channels, got {sorted(channels)}')
        total = inputs[-1]
        for finer in reversed(inputs[:-1]):
            total = finer + F.interpolate(total, size=finer.shape[-2:], mode='nearest')
        return (total.mean((2, 3)) / len(inputs),)
