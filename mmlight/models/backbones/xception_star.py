"""Xception*, the small backbone of Light-Head R-CNN's setting S (arXiv 1711.07264, Table 7).

Its unit is not drawn in the paper. Three pairs of depthwise and pointwise convolutions fit both what is published
about it: the multiply-adds (40, 145, 305 and 525 M, arXiv 1807.11164, Table 8) and its receptive field of 7.
"""

from typing import Any

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmlight import checks
from mmlight.layers.foreign_weights import accept_foreign_weights
from mmlight.models.backbones.shufflenet_v1 import ShuffleV1Unit, merge
from mmlight.models.backbones.staged import StagedBackbone
from mmlight.registry import MODELS

STAGES = ((144, 4), (288, 8), (576, 4))  # (channels, units); arXiv 1711.07264, Table 7
STEMS = {0.5: 12, 1.0: 24, 1.5: 24, 2.0: 24}
"""Width factor -> channels of the stem. Published is that of 1.0; the others fit the published multiply-adds."""


class XceptionUnit(nn.Module):
    """Depthwise and pointwise convolution three times, ReLU behind the first two, beside the identity or an average
    pooling. The middle has a quarter of the input's channels.

    Args:
        in_channels: Input channels.
        out_channels: Output channels: the input's, or more, of which the pooled input is a part.
        stride: Stride of the first depthwise convolution and the pooling, 1 where the channels stay.
        dilation: Dilation of the depthwise convolutions.
        norm_cfg: Normalisation layer.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, dilation: int, norm_cfg: dict):
        super().__init__()
        middle, added = in_channels // 4, out_channels - in_channels or out_channels
        self.pooling = None if in_channels == out_channels else stride

        def separable(inputs, outputs, stride=1, act_cfg=dict(type='ReLU')):
            layers = dict(groups=inputs, norm_cfg=norm_cfg, act_cfg=None)
            yield ConvModule(inputs, inputs, 3, stride, dilation, dilation, **layers)
            yield ConvModule(inputs, outputs, 1, norm_cfg=norm_cfg, act_cfg=act_cfg)

        self.branch = nn.Sequential(
            *separable(in_channels, middle, stride),
            *separable(middle, middle),
            *separable(middle, added, act_cfg=None),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, ceil(H / stride), ceil(W / stride))``. ``x`` must not be
        negative anywhere, as behind a ReLU."""
        return merge(x, self.branch(x), self.pooling)


@MODELS.register_module()
class XceptionStar(StagedBackbone):
    """Xception* (Light-Head R-CNN, arXiv 1711.07264, Table 7). No weights of it are published.

    Args:
        block: ``'xception'``: :class:`XceptionUnit`; ``'shuffle'``: the unit of ShuffleNetV1 without groups.
        widen_factor: 0.5, 1.0, 1.5 or 2.0.
        c5_stride: 32, or 16: the last stage keeps the size, without dilation.
        norm_cfg: Normalisation layer.
        out_indices: 0, 1, 2 for stages 2, 3, 4 (strides 8, 16, 32); the default are the detector's C4 and C5.
        kwargs: As in :class:`~mmlight.models.backbones.staged.StagedBackbone`, without ``strides``.

    Raises:
        InputError: for an argument out of range.
    """

    def __init__(
        self,
        block: str = 'xception',
        widen_factor: float = 1.0,
        c5_stride: int = 32,
        norm_cfg: dict = dict(type='BN'),
        out_indices: tuple[int, ...] = (1, 2),
        **kwargs: Any,
    ):
        checks.one_of(('xception', 'shuffle'), 'XceptionStar', block=block)
        checks.one_of(STEMS, 'XceptionStar', widen_factor=widen_factor)
        checks.one_of((32, 16), 'XceptionStar', c5_stride=c5_stride)

        def unit(stage, number, in_channels, out_channels, stride, dilation):
            if block == 'xception':
                return XceptionUnit(in_channels, out_channels, stride, dilation, norm_cfg)
            return ShuffleV1Unit(in_channels, out_channels, stride, dilation, norm_cfg=norm_cfg)

        super().__init__(
            STEMS[widen_factor],
            True,
            [(int(channels * widen_factor), units) for channels, units in STAGES],
            unit,
            None,
            norm_cfg,
            strides=(2, 2, c5_stride // 16),
            out_indices=out_indices,
            **kwargs,
        )
        if block == 'xception':
            accept_foreign_weights(self, 'XceptionStar')
        else:
            accept_foreign_weights(self, 'ShuffleNetV1', shuffle_mode='interleave')
