"""The executor of ShuffleNetV1, V2, SNet, Xception* and MobileNetV2: a stem, stages of units, a last convolution."""

from collections.abc import Callable, Sequence
from typing import Any

from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlight.errors import InputError
from mmlight.models.backbones.base import Backbone

Unit = Callable[[int, int, int, int, int, int], nn.Module]
"""(stage, number in the stage, input channels, output channels, stride, dilation) -> unit."""


class StagedBackbone(Backbone):
    """A 3x3 convolution of stride 2, a max pooling of stride 2 where there is one, stages of units, and a 1x1
    convolution where there is one. What lies behind the last returned map is not built.

    Args:
        stem: Channels of the 3x3 convolution.
        pool: There is a max pooling.
        stages: (channels, units) of each stage.
        unit: Builds a unit.
        final: Channels of the 1x1 convolution; ``None``: there is none.
        norm_cfg: Normalisation layer.
        act_cfg: Activation of the stem and the 1x1 convolution.
        strides: Stride of the first unit of each stage, 1 or 2.
        dilations: Dilation of each stage: of the depthwise convolutions of all its units. A stage of stride 2 turned
            into one of stride 1 and double dilation sees as much of the image on a map twice as fine.
        out_indices: Stages whose output is returned, counted from 0, ascending; the 1x1 convolution counts as one.
        num_classes: Build a classifier: global average and a linear layer on the last map; ``forward`` gives logits.
        stem_conv_cfg: Config of the 3x3 convolution.
        frozen_stages, norm_eval, init_cfg: As in :class:`~mmlight.models.backbones.base.Backbone`.

    Raises:
        InputError: for an argument out of range.
    """

    def __init__(  # noqa: PLR0913 (a table's columns and the frameworks' switches)
        self,
        stem: int,
        pool: bool,
        stages: Sequence[tuple[int, int]],
        unit: Unit,
        final: int | None,
        norm_cfg: dict = dict(type='BN'),
        act_cfg: dict = dict(type='ReLU'),
        strides: Sequence[int] | None = None,
        dilations: Sequence[int] | None = None,
        out_indices: Sequence[int] = (0, 1, 2),
        num_classes: int | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = None,
        stem_conv_cfg: dict | None = None,
    ):
        count = len(stages)
        last = count - (final is None)
        super().__init__((last,) if num_classes else out_indices, frozen_stages, norm_eval, init_cfg)
        name = type(self).__name__
        for argument, value in (('strides', strides), ('dilations', dilations)):
            if value is not None and not isinstance(value, Sequence):
                raise InputError(f'{name}: {argument} must be integers in a row, got {value!r}')
        strides, dilations = tuple(strides or (2,) * count), tuple(dilations or (1,) * count)
        if len(strides) != count or not {1, 2}.issuperset(strides):
            raise InputError(f'{name}: strides must be {count} numbers, each 1 or 2, got {strides}')
        if len(dilations) != count or not all(isinstance(value, int) and value >= 1 for value in dilations):
            raise InputError(f'{name}: dilations must be {count} integers, each 1 or more, got {dilations}')
        channels, reached = [width for width, _ in stages], []
        stride = 4 if pool else 2
        for factor in strides:
            stride *= factor
            reached.append(stride)
        if final is not None:
            channels, reached = [*channels, final], [*reached, stride]
        self.check_stages(channels, reached)

        self.conv1 = ConvModule(3, stem, 3, 2, 1, conv_cfg=stem_conv_cfg, norm_cfg=norm_cfg, act_cfg=act_cfg)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if pool else nn.Identity()
        self.layers: Any = nn.ModuleList()
        inputs, deepest = stem, self.out_indices[-1]
        for stage, (width, units) in enumerate(stages[: deepest + 1]):
            layer = nn.Sequential()
            for i in range(units):
                layer.append(unit(stage, i, inputs, width, 1 if i else strides[stage], dilations[stage]))
                inputs = width
            self.layers.append(layer)
        if deepest == count:
            self.layers.append(ConvModule(inputs, final, 1, norm_cfg=norm_cfg, act_cfg=act_cfg))
        self.fc = nn.Linear(self.out_channels[-1], num_classes) if num_classes else None
        self.train()  # frozen from the start: optimizers and DDP look at the parameters before the first train()

    def stages(self) -> list[nn.Module]:
        return [self.conv1, *self.layers]

    def init_weights(self) -> None:
        """Load ``init_cfg``, or draw the ShuffleNets' initial weights (stem 0.01, others 1 / fan-in channels)."""
        if self.init_cfg:
            super().init_weights()
            return
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, 0.01 if name.startswith('conv1') else 1 / module.weight.shape[1])
            elif isinstance(module, _BatchNorm):
                nn.init.constant_(module.weight, 1)
                nn.init.constant_(module.bias, 1e-4)
        if self.fc is not None:
            nn.init.normal_(self.fc.weight, 0, 0.01)
            nn.init.zeros_(self.fc.bias)
        self._is_init = True

    def forward(self, image: Tensor) -> tuple[Tensor, ...] | Tensor:
        """``(N, 3, H, W)`` to a tuple of ``(N, out_channels[i], ceil(H / out_strides[i]), ...)``, or to logits
        ``(N, num_classes)`` in a classifier."""
        x = self.maxpool(self.conv1(image))
        outputs = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.out_indices:
                outputs.append(x)
        if self.fc is not None:
            return self.fc(x.mean((2, 3)))
        return tuple(outputs)
