"""EfficientDet's head and anchors (arXiv 1911.09070)."""

from collections.abc import Sequence
from typing import Any

import torch
from mmcv.cnn import build_activation_layer, build_norm_layer
from mmdet.models.dense_heads.anchor_head import AnchorHead
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmengine.model import bias_init_with_prob
from torch import Tensor, nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.layers import SeparableConv, recomputed
from mmlight.models.heads.best_of_levels import BestOfLevels
from mmlight.registry import MODELS, TASK_UTILS


@MODELS.register_module()
class EfficientDetHead(BestOfLevels, AnchorHead):
    """Class and box branch of separable convolutions, shared by all levels but for the batch norms
    (EfficientDet, arXiv 1911.09070, Sec. 4.1 and the authors' code).

    Each branch: ``stacked_convs`` times (separable 3x3, the level's own norm, activation), then a separable 3x3 to the
    predictions. With ``A`` anchors a cell the outputs are ``(N, A * num_classes, H, W)`` scores and ``(N, 4 * A, H,
    W)`` box deltas for every level.

    The losses are divided by the number of positive anchors in the batch on this device plus one, as in the authors'
    code, not by mmdet's count, which takes at least one for each image.

    Args:
        num_classes: Classes without background.
        in_channels: Channels of every level.
        stacked_convs: Convolutions before the prediction.
        norm_cfg: Normalisation layers.
        act_cfg: Activation.
        conv_bias: Bias of the 1x1 convolutions before a norm. It changes nothing but the count of parameters, and the
            published weights have it.
        with_cp: Recompute the branches in the backward pass to save memory.
        kwargs: Those of mmdet's ``AnchorHead``.

    Raises:
        InputError: for counts that are not positive integers, and from ``forward``, if the number of levels is not that
            of the anchor generator, or other channels come in.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        stacked_convs: int = 3,
        norm_cfg: dict = dict(type='BN', eps=1e-3, momentum=0.01),
        act_cfg: dict = dict(type='SiLU'),
        conv_bias: bool = True,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = dict(
            type='Kaiming', layer='Conv2d', mode='fan_in', nonlinearity='linear', distribution='normal'
        ),
        **kwargs,
    ):
        counts = dict(num_classes=num_classes, in_channels=in_channels, stacked_convs=stacked_convs)
        checks.positive_int('EfficientDetHead', **counts)
        self.stacked_convs = stacked_convs
        self.norm_cfg = norm_cfg
        self.act_cfg = act_cfg
        self.conv_bias = conv_bias
        self.with_cp = with_cp
        super().__init__(num_classes, in_channels, feat_channels=in_channels, init_cfg=init_cfg, **kwargs)

    def _init_layers(self) -> None:
        self.cls_convs, self.cls_bns = self._branch()
        self.reg_convs, self.reg_bns = self._branch()
        self.act = build_activation_layer(self.act_cfg)
        anchors = self.num_base_priors
        self.cls_pred = SeparableConv(self.in_channels, anchors * self.cls_out_channels)
        self.reg_pred = SeparableConv(self.in_channels, anchors * self.bbox_coder.encode_size)

    def _branch(self) -> tuple[nn.ModuleList, nn.ModuleList]:
        width, levels = self.in_channels, self.prior_generator.num_levels
        convs = nn.ModuleList(SeparableConv(width, width, self.conv_bias) for _ in range(self.stacked_convs))
        norms = nn.ModuleList(
            nn.ModuleList(build_norm_layer(self.norm_cfg, width)[1] for _ in range(levels)) for _ in convs
        )
        return convs, norms

    def init_weights(self) -> None:
        super().init_weights()
        for prediction in (self.cls_pred, self.reg_pred):
            # Keras counts a depthwise kernel's fan-in over all channels; no norm follows that would hide the difference
            nn.init.normal_(prediction.dw.weight, std=(9 * self.in_channels) ** -0.5)
        nn.init.constant_(self.cls_pred.pw.bias, bias_init_with_prob(0.01))

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """``(N, in_channels, H, W)`` of every level to its scores and its box deltas."""
        if len(x) != self.prior_generator.num_levels:
            raise InputError(
                f'EfficientDetHead: the neck gives {len(x)} levels, the anchor generator has strides for '
                f'{self.prior_generator.num_levels}'
            )
        if x[0].shape[1] != self.in_channels:
            raise InputError(
                f'EfficientDetHead: in_channels is {self.in_channels}, but the neck gives {x[0].shape[1]} channels'
            )
        branches = (
            (self.cls_convs, self.cls_bns, self.cls_pred),
            (self.reg_convs, self.reg_bns, self.reg_pred),
        )
        scores, deltas = (
            [self._predict(feature, level, *branch) for level, feature in enumerate(x)] for branch in branches
        )
        return scores, deltas

    def _predict(self, x: Tensor, level: int, convs: nn.ModuleList, norms: Any, last: nn.Module) -> Tensor:
        def run(x: Tensor) -> Tensor:
            for conv, norm in zip(convs, norms, strict=True):
                x = self.act(norm[level](conv(x)))
            return last(x)

        if self.with_cp and self.training and x.requires_grad:
            return recomputed(self, run, x)
        return run(x)

    def get_targets(self, *args, **kwargs) -> tuple:
        targets = list(super().get_targets(*args, **kwargs))
        labels = torch.cat([labels.flatten() for labels in targets[0]])
        targets[4] = ((labels >= 0) & (labels < self.num_classes)).sum() + 1
        return tuple(targets)


@TASK_UTILS.register_module()
class AspectPairAnchorGenerator(AnchorGenerator):
    """mmdet's ``AnchorGenerator`` with explicit width and height factors instead of ratios.

    The released EfficientDet weights were trained with factors rounded to one digit; decoded with exact roots their
    boxes are 1 % too large.

    Args:
        aspect_pairs: Factors of width and height, one pair for each anchor of a scale.
        ratios: Not read, so that a config can change nothing but the type.
        kwargs: Those of mmdet's ``AnchorGenerator``.
    """

    def __init__(
        self,
        aspect_pairs: Sequence[tuple[float, float]] = ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4)),
        ratios: Sequence[float] | None = None,
        **kwargs,
    ):
        self.aspect_pairs = tuple(map(tuple, aspect_pairs))
        super().__init__(ratios=[height / width for width, height in self.aspect_pairs], **kwargs)

    def gen_single_level_base_anchors(
        self, base_size: float, scales: Tensor, ratios: Tensor, center: tuple[float, float] | None = None
    ) -> Tensor:
        """Anchors ``(A, 4)`` of a level around its first cell's centre."""
        x, y = center or (self.center_offset * base_size, self.center_offset * base_size)
        width, height = torch.tensor(self.aspect_pairs).T
        if self.scale_major:
            widths, heights = width[:, None] * scales, height[:, None] * scales
        else:
            widths, heights = scales[:, None] * width, scales[:, None] * height
        widths, heights = widths.flatten() * base_size / 2, heights.flatten() * base_size / 2
        return torch.stack([x - widths, y - heights, x + widths, y + heights], dim=-1)
