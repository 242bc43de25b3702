"""How a node of a feature graph merges its inputs, all of one shape ``(N, C, H, W)``.

A merge is a class in :data:`mmlight.registry.MERGES`, with all that is known of it: its arithmetic, how many inputs it
takes and its colour in drawings.
"""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from mmlight.registry import MERGES
from mmlight.tables.feature_graph import find_merge

EPS = 1e-4


class Merge(nn.Module):
    """What every merge is; ``forward`` is called with the list of features.

    Args:
        levels: The pyramid level that each feature came from.
        channels: Channels of the features.
    """

    least: ClassVar[int] = 1
    """Inputs that it needs."""
    most: ClassVar[int | None] = None
    """Inputs that it takes; ``None``: any number."""
    colour: ClassVar[str] = '#f1c0e8'

    def __init__(self, levels: Sequence[int] = (), channels: int = 0):
        super().__init__()


@MERGES.register_module('sum')
class SumMerge(Merge):
    """``x1 + x2 + ...``; no parameters."""

    colour = '#8ecae6'

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        result = features[0]
        for feature in features[1:]:
            result = result + feature
        return result


class WeightedMerge(Merge):
    """``sum of f(w)_i x_i`` (EfficientDet, arXiv 1911.09070, Sec. 3.3), all ``w`` start at 1; one weight an input, or
    one for each of its channels."""

    per_channel: ClassVar[bool] = False

    def __init__(self, levels: Sequence[int], channels: int):
        super().__init__(levels, channels)
        self.edge_weights = nn.Parameter(torch.ones((len(levels), channels, 1, 1) if self.per_channel else len(levels)))

    def normalised(self, weights: Tensor) -> Tensor:
        """``f(w)``: the factors of the inputs, which are the first dimension."""
        raise NotImplementedError

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        weights = self.normalised(self.edge_weights).to(features[0].dtype).unbind()
        result = features[0] * weights[0]
        for feature, weight in zip(features[1:], weights[1:], strict=True):
            result = torch.addcmul(result, feature, weight)
        return result


@MERGES.register_module('fast')
class FastNormalised(WeightedMerge):
    """``sum of relu(w_i) x_i / (sum of relu(w_j) + 1e-4)``."""

    colour = '#ffb703'

    def normalised(self, weights: Tensor) -> Tensor:
        weights = weights.relu()
        return weights / (weights.sum(0) + EPS)


@MERGES.register_module('softmax')
class SoftmaxNormalised(WeightedMerge):
    """``sum of softmax(w)_i x_i``."""

    colour = '#f4a582'

    def normalised(self, weights: Tensor) -> Tensor:
        return weights.softmax(0)


@MERGES.register_module('unbounded')
class Unbounded(WeightedMerge):
    """``sum of w_i x_i``."""

    colour = '#e9c46a'

    def normalised(self, weights: Tensor) -> Tensor:
        return weights


@MERGES.register_module('channel_fast')
class ChannelFast(FastNormalised):
    """:class:`FastNormalised` with a weight for each channel."""

    colour, per_channel = '#b5838d', True


@MERGES.register_module('channel_softmax')
class ChannelSoftmax(SoftmaxNormalised):
    """:class:`SoftmaxNormalised` with a weight for each channel."""

    colour, per_channel = '#cdb4db', True


@MERGES.register_module('attention')
class AttentionMerge(Merge):
    """NAS-FPN's global pooling (arXiv 1904.07392, Fig. 3) of two features.

    In the authors' code: ``coarse + fine * sigmoid(max over space of coarse)``. ``coarse`` is the one that came from
    the higher level.
    """

    least = most = 2
    colour = '#90be6d'

    def __init__(self, levels: Sequence[int], channels: int):
        super().__init__(levels, channels)
        self.coarse, self.fine = (0, 1) if levels[0] >= levels[1] else (1, 0)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        coarse, fine = features[self.coarse], features[self.fine]
        return torch.addcmul(coarse, fine, coarse.amax((2, 3), keepdim=True).sigmoid())


@MERGES.register_module('attention_mmdet')
class MMDetAttentionMerge(Merge):
    """mmcv's ``GlobalPoolingCell`` (mmdet's NAS-FPN): ``x2 + x1 * sigmoid(mean over space of x2)``."""

    least = most = 2
    colour = '#43aa8b'

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x1, x2 = features
        return torch.addcmul(x2, x1, x2.mean((2, 3), keepdim=True).sigmoid())


def build_merge(kind: str, levels: Sequence[int], channels: int) -> Merge:
    """The module for a node that merges features which came from ``levels`` and have ``channels`` channels.

    Raises:
        InputError: for an unknown merge, or a number of inputs that it cannot merge.
    """
    return find_merge('feature graph', kind, levels)(levels, channels)
