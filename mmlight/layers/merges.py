"""How a node of a feature graph merges its inputs, all of one shape ``(N, C, H, W)``.

:func:`build_merge` makes the module for a name of :data:`mmlight.tables.MERGES`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mmlight.errors import InputError
from mmlight.tables import MERGES

EPS = 1e-4


class SumMerge(nn.Module):
    """``x1 + x2 + ...``; no parameters."""

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        result = features[0]
        for feature in features[1:]:
            result = result + feature
        return result


def _fast(weights: Tensor) -> Tensor:
    weights = weights.relu()
    return weights / (weights.sum(0) + EPS)


NORMALISED: dict[str, Callable[[Tensor], Tensor]] = {
    'fast': _fast,
    'softmax': lambda weights: weights.softmax(0),
    'unbounded': lambda weights: weights,
    'channel_fast': _fast,
    'channel_softmax': lambda weights: weights.softmax(0),
}


class WeightedMerge(nn.Module):
    """``sum of f(w)_i x_i`` (EfficientDet, arXiv 1911.09070, Sec. 3.3), all ``w`` start at 1.

    Args:
        kind: ``'fast'``, ``'softmax'``, ``'unbounded'``, or ``'channel_fast'``, ``'channel_softmax'`` with one weight
            per channel.
        num_inputs: Features to merge.
        channels: Channels of the features.
    """

    def __init__(self, kind: str, num_inputs: int, channels: int):
        super().__init__()
        shape = (num_inputs, channels, 1, 1) if kind.startswith('channel') else (num_inputs,)
        self.edge_weights = nn.Parameter(torch.ones(shape))
        self.normalised = NORMALISED[kind]

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        weights = self.normalised(self.edge_weights).to(features[0].dtype).unbind()
        result = features[0] * weights[0]
        for feature, weight in zip(features[1:], weights[1:], strict=True):
            result = torch.addcmul(result, feature, weight)
        return result


class AttentionMerge(nn.Module):
    """NAS-FPN's global pooling (arXiv 1904.07392, Fig. 3) of two features.

    In the authors' code: ``coarse + fine * sigmoid(max over space of coarse)``. ``coarse`` is the one that came from
    the higher level.

    Args:
        levels: Levels that the features came from.
    """

    def __init__(self, levels: Sequence[int]):
        super().__init__()
        self.coarse, self.fine = (0, 1) if levels[0] >= levels[1] else (1, 0)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        coarse, fine = features[self.coarse], features[self.fine]
        return torch.addcmul(coarse, fine, coarse.amax((2, 3), keepdim=True).sigmoid())


class MMDetAttentionMerge(nn.Module):
    """mmcv's ``GlobalPoolingCell`` (mmdet's NAS-FPN): ``x2 + x1 * sigmoid(mean over space of x2)``."""

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x1, x2 = features
        return torch.addcmul(x2, x1, x2.mean((2, 3), keepdim=True).sigmoid())


def build_merge(kind: str, levels: Sequence[int], channels: int) -> nn.Module:
    """The module for a node that merges features which came from ``levels`` and have ``channels`` channels.

    Raises:
        InputError: for an unknown merge, or a number of inputs that it cannot merge.
    """
    if kind not in MERGES:
        raise InputError(f'unknown merge {kind!r}, known are {", ".join(MERGES)}')
    if kind == 'sum':
        return SumMerge()
    if kind.startswith('attention'):
        if len(levels) != 2:
            raise InputError(f'merge {kind!r} takes two inputs, got {len(levels)}')
        return AttentionMerge(levels) if kind == 'attention' else MMDetAttentionMerge()
    return WeightedMerge(kind, len(levels), channels)
