"""EfficientNet-Lite: EfficientNet (arXiv 1905.11946) for mobile devices, as EfficientDet-Lite uses it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmlight.errors import InputError
from mmlight.layers import MBConv
from mmlight.layers.arithmetic import conv_cfg_of, declare_arithmetic
from mmlight.models.backbones.base import Backbone
from mmlight.registry import MODELS


@dataclass(frozen=True)
class Stage:
    """A stage of EfficientNet-B0 (arXiv 1905.11946, Table 1)."""

    expand_ratio: int
    kernel_size: int
    stride: int
    channels: int
    repeats: int


EFFICIENTNET_B0 = (
    Stage(expand_ratio=1, kernel_size=3, stride=1, channels=16, repeats=1),
    Stage(expand_ratio=6, kernel_size=3, stride=2, channels=24, repeats=2),
    Stage(expand_ratio=6, kernel_size=5, stride=2, channels=40, repeats=2),
    Stage(expand_ratio=6, kernel_size=3, stride=2, channels=80, repeats=3),
    Stage(expand_ratio=6, kernel_size=5, stride=1, channels=112, repeats=3),
    Stage(expand_ratio=6, kernel_size=5, stride=2, channels=192, repeats=4),
    Stage(expand_ratio=6, kernel_size=3, stride=1, channels=320, repeats=1),
)
STEM_CHANNELS = 32

# Width and depth coefficients (google/automl, efficientdet and efficientnet lite).
LITE_SCALING = {
    'lite0': (1.0, 1.0),
    'lite1': (1.0, 1.1),
    'lite2': (1.1, 1.2),
    'lite3': (1.2, 1.4),
    'lite4': (1.4, 1.8),
}


def round_filters(channels: int, width: float) -> int:
    """``channels * width`` rounded to a multiple of 8, never by more than a tenth downwards."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


def lite_stages(arch: str) -> tuple[Stage, ...]:
    """The stages of a Lite network: scaled but for the stem and the repeats of the first and the last stage."""
    width, depth = LITE_SCALING[arch]
    last = len(EFFICIENTNET_B0) - 1
    return tuple(
        Stage(
            stage.expand_ratio,
            stage.kernel_size,
            stage.stride,
            round_filters(stage.channels, width),
            stage.repeats if i in (0, last) else ceil(stage.repeats * depth),
        )
        for i, stage in enumerate(EFFICIENTNET_B0)
    )


@MODELS.register_module()
class EfficientNetLite(Backbone):
    """EfficientNet without squeeze-and-excitation, with ReLU6, and with an unscaled stem, first and last stage.

    Maps and weights are numbered as in mmdet's ``EfficientNet``: ``layers.0`` is the stem (stride 2), ``layers.1`` to
    ``layers.5`` are the strides 2, 4, 8, 16 and 32; the stages 4 and 5 of the paper share ``layers.4``, the stages 6
    and 7 ``layers.5``.

    Args:
        arch: ``'lite0'`` to ``'lite4'``.
        out_indices: Which of ``layers`` to return.
        frozen_stages: ``-1`` trains everything, ``n`` freezes ``layers[:n + 1]``.
        norm_eval: Keep the statistics of every batch norm fixed in training.
        padding: ``'same'`` as the authors' TensorFlow code, ``'symmetric'`` for weights trained in PyTorch.
        norm_cfg: Normalisation layers.
        act_cfg: Activation.
        init_cfg: mmengine's initialisation config.

    Raises:
        InputError: for an unknown ``arch``, and for indices that the table lacks.
    """

    def __init__(
        self,
        arch: str = 'lite0',
        out_indices: Sequence[int] = (3, 4, 5),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        padding: str = 'same',
        norm_cfg: dict = dict(type='BN', eps=1e-3, momentum=0.01),
        act_cfg: dict = dict(type='ReLU6'),
        init_cfg: dict | list[dict] | None = dict(type='Kaiming', layer='Conv2d'),
    ):
        super().__init__(out_indices, frozen_stages, norm_eval, init_cfg)
        if not isinstance(arch, str) or arch not in LITE_SCALING:
            raise InputError(f'EfficientNetLite: arch must be one of {list(LITE_SCALING)}, got {arch!r}')
        layers = dict(conv_cfg=conv_cfg_of('EfficientNetLite', padding), norm_cfg=norm_cfg, act_cfg=act_cfg)
        groups: list[list[nn.Module]] = []
        channels, strides = [STEM_CHANNELS], [2]
        width = STEM_CHANNELS
        for index, stage in enumerate(lite_stages(arch)):
            if stage.stride == 2 or index == 0:
                groups.append([])
                channels.append(0)
                strides.append(strides[-1] * stage.stride)
            for repeat in range(stage.repeats):
                stride = 1 if repeat else stage.stride
                groups[-1].append(
                    MBConv(width, stage.channels, stage.expand_ratio, stage.kernel_size, stride, **layers)
                )
                width = stage.channels
            channels[-1] = width
        self.check_stages(channels, strides)
        stem = ConvModule(3, STEM_CHANNELS, 3, stride=2, padding=1, **layers)
        used = groups[: self.out_indices[-1]]  # a stage that nobody reads is not built
        declare_arithmetic(self, padding=padding)
        self.layers = nn.ModuleList([stem, *(nn.Sequential(*blocks) for blocks in used)])

    def stages(self) -> list[nn.Module]:
        return list(self.layers)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """``(N, 3, H, W)`` to the maps of ``out_indices``, sizes rounded up."""
        outputs = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.out_indices:
                outputs.append(x)
        return tuple(outputs)
