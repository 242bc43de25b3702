"""MobileNetV2 (arXiv 1801.04381) as a backbone of detectors and segmentors."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mmlight import checks
from mmlight.errors import InputError
from mmlight.layers import MBConv
from mmlight.layers.arithmetic import conv_cfg_of, declare_arithmetic
from mmlight.layers.foreign_weights import accept_foreign_weights
from mmlight.models.backbones.staged import StagedBackbone
from mmlight.registry import MODELS
from mmlight.tables.efficientnet import round_filters

STEM, FINAL = 32, 1280
STAGES = (  # (expansion, channels, units, stride); arXiv 1801.04381, Table 2
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STRIDES = tuple(stride for *_, stride in STAGES)
C4 = 4
"""The last stage of stride 16."""


@MODELS.register_module()
class MobileNetV2(StagedBackbone):
    """MobileNetV2 (arXiv 1801.04381, Table 2). Arguments are those of mmdet's and mmseg's classes.

    Args:
        widen_factor: Factor of the channels, rounded to multiples of 8; it does not narrow the last convolution.
        expanded_c4: The map of stage 4 is not its bottleneck (96 channels) but what the next unit expands it to (576
            channels, stride 16), which is where SSDLite's first head sits (arXiv 1801.04381, 6.2).
        out_indices: 0 to 6 for the stages (strides 2, 4, 8, 16, 16, 32, 32), 7 for the last convolution (1280
            channels). What lies behind the last one is not built.
        strides: Stride of each stage's first unit.
        dilations: Dilation of all units of each stage. Output stride 8: strides (1, 2, 2, 1, 1, 1, 1), dilations
            (1, 1, 1, 2, 2, 4, 4).
        padding: ``'same'`` for weights of TensorFlow and Keras, ``'symmetric'`` for PyTorch's.
        norm_cfg: Normalisation layer; TensorFlow's weights need ``eps=1e-3``.
        act_cfg: Activation.
        init_cfg: mmengine's initialisation config.
        kwargs: As in :class:`~mmlight.models.backbones.staged.StagedBackbone`.

    Raises:
        InputError: for an argument out of range.
    """

    def __init__(  # noqa: PLR0913 (keys of a config)
        self,
        widen_factor: float = 1.0,
        expanded_c4: bool = False,
        out_indices: Sequence[int] = (1, 2, 4, 6),
        strides: Sequence[int] = STRIDES,
        dilations: Sequence[int] = (1,) * len(STAGES),
        padding: str = 'symmetric',
        norm_cfg: dict = dict(type='BN'),
        act_cfg: dict = dict(type='ReLU6'),
        init_cfg: dict | list[dict] | None = dict(type='Kaiming', layer='Conv2d'),
        **kwargs: Any,
    ):
        checks.positive('MobileNetV2', widen_factor=widen_factor)
        conv_cfg = conv_cfg_of('MobileNetV2', padding)

        def unit(stage, number, in_channels, out_channels, stride, dilation):
            layers = dict(conv_cfg=conv_cfg, norm_cfg=norm_cfg, act_cfg=act_cfg)
            return MBConv(in_channels, out_channels, STAGES[stage][0], 3, stride, dilation=dilation, **layers)

        super().__init__(
            round_filters(STEM, widen_factor),
            False,
            [(round_filters(channels, widen_factor), units) for _, channels, units, _ in STAGES],
            unit,
            round_filters(FINAL, max(1.0, widen_factor)),
            norm_cfg,
            act_cfg,
            strides,
            dilations,
            out_indices,
            init_cfg=init_cfg,
            stem_conv_cfg=conv_cfg,
            **kwargs,
        )
        accept_foreign_weights(self, 'MobileNetV2')
        declare_arithmetic(self, {'padding': 'symmetric'}, padding=padding)
        self.expanded_c4 = expanded_c4
        if expanded_c4:
            if C4 not in self.out_indices[:-1]:
                raise InputError(
                    f'MobileNetV2: expanded_c4 needs out_indices with {C4} and a later one, got {self.out_indices}'
                )
            expanded = self.layers[C4 + 1][0].expand_conv.out_channels
            at = self.out_indices.index(C4)
            self.out_channels = (*self.out_channels[:at], expanded, *self.out_channels[at + 1 :])

    def forward(self, image: Tensor) -> tuple[Tensor, ...] | Tensor:
        """``(N, 3, H, W)`` to a tuple of ``(N, out_channels[i], ceil(H / out_strides[i]), ...)``, or to logits
        ``(N, num_classes)`` in a classifier."""
        if not self.expanded_c4:
            return super().forward(image)
        x = self.conv1(image)
        outputs = []
        for i, layer in enumerate(self.layers):
            if i == C4 + 1:
                x = layer[0].expand_conv(x)
                outputs.append(x)
                x = layer[1:](layer[0].project(x))
            else:
                x = layer(x)
            if i in self.out_indices and i != C4:
                outputs.append(x)
        return tuple(outputs)
