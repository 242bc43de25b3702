"""ShuffleNetV1 (arXiv 1707.01083).

Two dialects of the network exist whose weights have equal shapes and compute different functions, because they order
the channels between the two group convolutions of a unit in another way:

* the paper and mmpretrain (``shuffle_mode='interleave'``): the first channel of every group, then the second of
  every group, ...;
* the authors' release, megvii's ShuffleNet-Series (``shuffle_mode='parity'``): every g-th channel from the first on,
  then every g-th from the second on, ...

One undoes the other. A checkpoint carries its dialect; loading it into a network of the other dialect is refused.
"""

from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.layers.foreign_weights import accept_foreign_weights
from mmlight.models.backbones.shufflenet_v2 import channel_shuffle
from mmlight.models.backbones.staged import StagedBackbone
from mmlight.registry import MODELS

STAGES = {  # groups -> channels of the stages at width 1.0; arXiv 1707.01083, Table 1
    1: (144, 288, 576),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}
UNITS = (4, 8, 4)
STEM = 24

STEMS = {(3, 1.5): STEM, (8, 1.5): STEM}
"""Where the authors' release (megvii's ShuffleNet-Series) does not follow the rule below: (groups, width) -> stem."""


def widths(groups: int, widen_factor: float) -> tuple[int, tuple[int, ...]]:
    """Channels of the stem and the stages. Scaled widths are rounded, ties upwards, so that every group convolution
    has equal groups: the stages to multiples of 4 g (the middle of a unit has a quarter of the channels); the stem to
    a multiple of 4 that differs from the first stage by a multiple of g (the first unit adds the difference).

    Raises:
        InputError: for other groups, and for a width at which no such stem is left.
    """
    checks.one_of(STAGES, 'ShuffleNetV1', groups=groups)
    checks.positive('ShuffleNetV1', widen_factor=widen_factor)
    unit = 4 * groups
    stages = tuple(int(channels * widen_factor / unit + 0.5) * unit for channels in STAGES[groups])
    stems = [stem for stem in range(4, stages[0], 4) if (stages[0] - stem) % groups == 0]
    if not stems:
        raise InputError(
            f'ShuffleNetV1: widen_factor must leave more than {stages[0]} channels to the first stage of {groups} '
            f'groups, got {widen_factor}'
        )
    stem = min(stems, key=lambda stem: (abs(stem - STEM * widen_factor), -stem))
    return STEMS.get((groups, widen_factor), stem), stages


def merge(x: Tensor, branch: Tensor, pooling: int | None) -> Tensor:
    """``ReLU(x + branch)`` in a unit without ``pooling``, else ``ReLU`` of ``x``, pooled with this stride, and the
    branch side by side (arXiv 1707.01083, Fig. 2)."""
    if pooling is None:
        return F.relu(x + branch)
    return F.relu(torch.cat([F.avg_pool2d(x, 3, pooling, 1), branch], 1))


class ShuffleV1Unit(nn.Module):
    """One unit (arXiv 1707.01083, Fig. 2b and 2c): grouped 1x1, shuffle, depthwise, grouped 1x1, beside the identity
    or an average pooling. The middle has a quarter of the output's channels.

    The shuffle stands behind the depthwise convolution, as in the published weights' implementations; before it, it
    would be the same function of weights in another order.

    Args:
        in_channels: Input channels.
        out_channels: Output channels: the input's, or more, of which the pooled input is a part.
        stride: Stride of the depthwise convolution and the pooling, 1 where the channels stay.
        dilation: Dilation of the depthwise convolution.
        groups: Groups of the last 1x1 convolution and the shuffle.
        first_groups: Groups of the first 1x1 convolution.
        parity: The authors' order of channels, see the module's text.
        norm_cfg: Normalisation layer.

    Raises:
        InputError: for widths that the groups do not divide.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        first_groups: int = 1,
        parity: bool = False,
        norm_cfg: dict = dict(type='BN'),
    ):
        super().__init__()
        middle, added = out_channels // 4, out_channels - in_channels or out_channels
        for width, count in ((in_channels, first_groups), (middle, first_groups), (middle, groups), (added, groups)):
            if width < 1 or width % count:
                raise InputError(
                    f'ShuffleV1Unit: {in_channels} to {out_channels} channels: a group convolution would have {width} '
                    f'channels in {count} groups'
                )
        self.shuffle = middle // groups if parity else groups
        self.compress = ConvModule(in_channels, middle, 1, groups=first_groups, norm_cfg=norm_cfg)
        self.depthwise = ConvModule(
            middle, middle, 3, stride, dilation, dilation, groups=middle, norm_cfg=norm_cfg, act_cfg=None
        )
        self.expand = ConvModule(middle, added, 1, groups=groups, norm_cfg=norm_cfg, act_cfg=None)
        self.groups = groups
        self.pooling = None if in_channels == out_channels else stride

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, ceil(H / stride), ceil(W / stride))``. ``x`` must not be
        negative anywhere, as behind a ReLU."""
        branch = self.depthwise(self.compress(x))
        if self.groups > 1:
            branch = channel_shuffle(branch, self.shuffle)
        return merge(x, self.expand(branch), self.pooling)


@MODELS.register_module()
class ShuffleNetV1(StagedBackbone):
    """ShuffleNetV1 (arXiv 1707.01083, Table 1).

    Args:
        groups: Groups of the 1x1 convolutions: 1, 2, 3, 4 or 8.
        widen_factor: Factor of the channels; see :func:`widths` for how they are rounded.
        shuffle_mode: ``'interleave'`` or ``'parity'``, see the module's text.
        norm_cfg: Normalisation layer.
        kwargs: As in :class:`~mmlight.models.backbones.staged.StagedBackbone`. ``out_indices``: 0, 1, 2 for stages 2,
            3, 4 (strides 8, 16, 32; the default).

    Raises:
        InputError: for an argument out of range.
    """

    def __init__(
        self,
        groups: int = 3,
        widen_factor: float = 1.0,
        shuffle_mode: str = 'interleave',
        norm_cfg: dict = dict(type='BN'),
        **kwargs: Any,
    ):
        stem, stages = widths(groups, widen_factor)

        def unit(stage, number, in_channels, out_channels, stride, dilation):
            first = 1 if (stage, number) == (0, 0) else groups
            parity = shuffle_mode == 'parity'
            return ShuffleV1Unit(in_channels, out_channels, stride, dilation, groups, first, parity, norm_cfg)

        super().__init__(stem, True, tuple(zip(stages, UNITS, strict=True)), unit, None, norm_cfg, **kwargs)
        accept_foreign_weights(self, 'ShuffleNetV1', shuffle_mode=shuffle_mode)
