"""EfficientNet-Lite: EfficientNet (arXiv 1905.11946) for mobile devices, as EfficientDet-Lite uses it."""

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmlight import checks
from mmlight.layers import MBConv
from mmlight.layers.arithmetic import conv_cfg_of, declare_arithmetic
from mmlight.models.backbones.base import Backbone
from mmlight.registry import MODELS
from mmlight.tables.efficientnet import SCALING, STEM_CHANNELS, stages

LITE = tuple(arch for arch in SCALING if arch.startswith('lite'))


@MODELS.register_module()
class EfficientNetLite(Backbone):
    """EfficientNet without squeeze-and-excitation, with ReLU6, and with an unscaled stem, first and last stage.

    Maps and weights are numbered as in mmdet's ``EfficientNet``: ``layers.0`` is the stem (stride 2), ``layers.1`` to
    ``layers.5`` are the strides 2, 4, 8, 16 and 32; the stages 4 and 5 of the paper share ``layers.4``, the stages 6
    and 7 ``layers.5``.

    Args:
        arch: ``'lite0'`` to ``'lite4'``.
        out_indices: Which of ``layers`` to return.
        padding: ``'same'`` as the authors' TensorFlow code, ``'symmetric'`` for weights trained in PyTorch.
        drop_path_rate: Stochastic depth: block ``i`` of ``N`` is skipped with ``drop_path_rate * i / N``; 0.2 in
            EfficientDet-Lite's training (``survival_prob`` 0.8 in google/automl).
        norm_cfg: Normalisation layers.
        act_cfg: Activation.
        init_cfg: mmengine's initialisation config.
        kwargs: ``frozen_stages`` and ``norm_eval`` of :class:`~mmlight.models.backbones.base.Backbone`.

    Raises:
        InputError: for an unknown ``arch``, and for indices that the table lacks.
    """

    def __init__(
        self,
        arch: str = 'lite0',
        out_indices: Sequence[int] = (3, 4, 5),
        padding: str = 'same',
        drop_path_rate: float = 0.0,
        norm_cfg: dict = dict(type='BN', eps=1e-3, momentum=0.01),
        act_cfg: dict = dict(type='ReLU6'),
        init_cfg: dict | list[dict] | None = dict(type='Kaiming', layer='Conv2d'),
        **kwargs: Any,
    ):
        super().__init__(out_indices, init_cfg=init_cfg, **kwargs)
        checks.one_of(LITE, 'EfficientNetLite', arch=arch)
        checks.rate('EfficientNetLite', drop_path_rate=drop_path_rate)
        layers: dict[str, Any] = dict(
            conv_cfg=conv_cfg_of('EfficientNetLite', padding), norm_cfg=norm_cfg, act_cfg=act_cfg
        )
        groups: list[list[nn.Module]] = []
        channels, strides = [STEM_CHANNELS], [2]
        width, table = STEM_CHANNELS, stages(arch)
        number, total = 0, sum(stage.repeats for stage in table)
        for index, stage in enumerate(table):
            if stage.stride == 2 or index == 0:
                groups.append([])
                channels.append(0)
                strides.append(strides[-1] * stage.stride)
            for repeat in range(stage.repeats):
                stride = 1 if repeat else stage.stride
                groups[-1].append(
                    MBConv(
                        width,
                        stage.channels,
                        stage.expand_ratio,
                        stage.kernel_size,
                        stride,
                        drop_path=drop_path_rate * number / total,
                        **layers,
                    )
                )
                width, number = stage.channels, number + 1
            channels[-1] = width
        self.check_stages(channels, strides)
        stem = ConvModule(3, STEM_CHANNELS, 3, stride=2, padding=1, **layers)
        used = groups[: self.out_indices[-1]]  # a stage that nobody reads is not built
        declare_arithmetic(self, {'padding': 'same'}, padding=padding)
        self.layers = nn.ModuleList([stem, *(nn.Sequential(*blocks) for blocks in used)])
        self.train()  # frozen from the start: optimizers and DDP look at the parameters before the first train()

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
