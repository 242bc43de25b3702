"""ThunderNet's one-level neck (arXiv 1903.11752, Sec. 3.2 and 3.3)."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.registry import MODELS


class ContextEnhancement(nn.Module):
    """Context Enhancement Module (arXiv 1903.11752, Fig. 5): C4, upsampled C5 and pooled C5, summed.

    The three 1x1 convolutions have a bias and neither batch norm nor activation. C5 is upsampled (nearest) to the
    size of C4, which is not always twice its own. RoIs and the RPN read the same map.

    Args:
        in_channels: Channels of C4 and C5.
        out_channels: Channels of the result.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int):
        super().__init__()
        c4, c5 = in_channels
        self.c4 = nn.Conv2d(c4, out_channels, 1)
        self.c5 = nn.Conv2d(c5, out_channels, 1)
        self.pooled = nn.Conv2d(c5, out_channels, 1)

    def forward(self, c4: Tensor, c5: Tensor) -> tuple[Tensor, Tensor]:
        """C4 ``(N, C, H, W)`` and C5 to the RoIs' and the RPN's feature, both ``(N, out_channels, H, W)``."""
        local = self.c4(c4)
        above = F.interpolate(self.c5(c5), size=local.shape[-2:], mode='nearest')
        feature = local + above + self.pooled(c5.mean((2, 3), keepdim=True))
        return feature, feature


class SeparateLevels(nn.Module):
    """What the Context Enhancement Module replaces (arXiv 1903.11752, Table 5 baseline): RoIs read the upsampled C5,
    the RPN reads C4. Arguments, input and output as in :class:`ContextEnhancement`."""

    def __init__(self, in_channels: Sequence[int], out_channels: int):
        super().__init__()
        c4, c5 = in_channels
        self.c4 = nn.Conv2d(c4, out_channels, 1)
        self.c5 = nn.Conv2d(c5, out_channels, 1)

    def forward(self, c4: Tensor, c5: Tensor) -> tuple[Tensor, Tensor]:
        local = self.c4(c4)
        return F.interpolate(self.c5(c5), size=local.shape[-2:], mode='nearest'), local


class SpatialAttention(nn.Module):
    """Spatial Attention Module (arXiv 1903.11752, Fig. 6): ``feature * sigmoid(BN(conv1x1(rpn_feature)))``.

    Args:
        rpn_channels: Channels of the RPN's feature.
        out_channels: Channels of the feature that is re-weighted.
        norm_cfg: Normalisation layer of the gate.
    """

    def __init__(self, rpn_channels: int, out_channels: int, norm_cfg: dict):
        super().__init__()
        self.gate = ConvModule(rpn_channels, out_channels, 1, norm_cfg=norm_cfg, act_cfg=dict(type='Sigmoid'))

    def forward(self, feature: Tensor, rpn_feature: Tensor) -> Tensor:
        """``(N, out_channels, H, W)`` and ``(N, rpn_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        return feature * self.gate(rpn_feature)


CONTEXTS = {'cem': ContextEnhancement, 'separate': SeparateLevels}


def _separable_trunk(in_channels: int, out_channels: int, norm_cfg: dict) -> nn.Module:
    return DepthwiseSeparableConvModule(in_channels, out_channels, 5, padding=2, norm_cfg=norm_cfg)


def _full_trunk(in_channels: int, out_channels: int, norm_cfg: dict) -> nn.Module:
    return ConvModule(in_channels, out_channels, 3, padding=1, norm_cfg=norm_cfg)


RPN_TRUNKS = {'dw5x5': _separable_trunk, 'conv3x3': _full_trunk}


@MODELS.register_module()
class ThunderNetNeck(BaseModule):
    """Context enhancement, RPN trunk and spatial attention on one level of stride 16 (arXiv 1903.11752, Fig. 2).

    The trunk of the RPN stands here because the attention reads its result: the losses of the RoI head reach it
    through the gate. The maps are returned in the order (RoIs, RPN), so that mmdet's ``FasterRCNN`` works as it is:
    RoI extractor and OHEM sampler take the first, :class:`~mmlight.models.heads.ThunderNetRPNHead` the last.

    Args:
        in_channels: Channels of C4 (stride 16) and C5 (stride 32).
        out_channels: Channels of the RoIs' map: 245 = 5 x 7 x 7.
        rpn_channels: Channels of the RPN's map.
        context: ``'cem'``, or the paper's baseline ``'separate'``.
        rpn_trunk: ``'dw5x5'`` (5x5 depthwise and 1x1), or the paper's baseline ``'conv3x3'``.
        spatial_attention: Re-weight the RoIs' map by the RPN's.
        norm_cfg: Normalisation of trunk and gate.
        init_cfg: mmengine's initialisation config.

    Raises:
        InputError: for an unknown ``context`` or ``rpn_trunk``, or other than two input levels.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 245,
        rpn_channels: int = 256,
        context: str = 'cem',
        rpn_trunk: str = 'dw5x5',
        spatial_attention: bool = True,
        norm_cfg: dict = dict(type='BN'),
        init_cfg: dict | list[dict] | None = dict(type='Xavier', layer='Conv2d', distribution='uniform'),
    ):
        super().__init__(init_cfg)
        if len(in_channels) != 2:
            raise InputError(f'ThunderNetNeck: in_channels must be those of C4 and C5, got {tuple(in_channels)}')
        checks.one_of(CONTEXTS, 'ThunderNetNeck', context=context)
        checks.one_of(RPN_TRUNKS, 'ThunderNetNeck', rpn_trunk=rpn_trunk)
        self.out_channels = (out_channels, rpn_channels)
        self.out_strides = (16, 16)
        self.context = CONTEXTS[context](in_channels, out_channels)
        self.rpn_trunk = RPN_TRUNKS[rpn_trunk](out_channels, rpn_channels, norm_cfg)
        self.attention = SpatialAttention(rpn_channels, out_channels, norm_cfg) if spatial_attention else None

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """C4 ``(N, C, H, W)`` and C5 to ``(N, out_channels, H, W)`` for RoIs and ``(N, rpn_channels, H, W)``.

        Raises:
            InputError: if other than two maps come in.
        """
        if len(inputs) != 2:
            raise InputError(f'ThunderNetNeck: needs the maps C4 and C5, got {len(inputs)}; check out_indices')
        roi_feature, rpn_input = self.context(*inputs)
        rpn_feature = self.rpn_trunk(rpn_input)
        if self.attention is not None:
            roi_feature = self.attention(roi_feature, rpn_feature)
        return roi_feature, rpn_feature
