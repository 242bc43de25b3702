"""ShuffleNetV2 (arXiv 1807.11164) and its 5x5 descendant SNet (ThunderNet, arXiv 1903.11752, Table 1).

Two dialects of the network exist whose weights have equal shapes and compute different functions:

* torchvision and mmpretrain: the first unit of a stage gives half of the channels to each branch
  (``first_block='half'``); a unit splits its input in halves and shuffles its output
  (``shuffle_mode='interleave'``).
* the authors (megvii's ShuffleNet-Series, the SNet release): the first unit's projection keeps the input's channels
  (``first_block='keep'``); a unit takes the even channels as identity and the odd ones as input, and does not
  shuffle (``shuffle_mode='parity'``).

A checkpoint carries its dialect; loading it into a network of the other dialect is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmlight.errors import InputError
from mmlight.models.backbones.base import Backbone
from mmlight.models.backbones.shufflenet_weights import add_dialect_check
from mmlight.registry import MODELS


@dataclass(frozen=True)
class ShuffleV2Table:
    """Channels and units of a ShuffleNetV2-like network. Each stage halves the map, from stride 4 on."""

    stem: int
    stages: tuple[tuple[int, int], ...]  # (channels, units)
    final: int | None  # channels of the last 1x1 convolution
    kernel: int = 3  # of the depthwise convolutions
    leading_depthwise: bool = False  # one more 3x3 depthwise convolution at the head of each unit's branch ("V2*")


def _v2(channels: tuple[int, int, int], final: int) -> ShuffleV2Table:
    return ShuffleV2Table(24, tuple(zip(channels, (4, 8, 4), strict=True)), final)


SHUFFLENET_V2 = {  # width factor -> table; arXiv 1807.11164, Table 5
    0.5: _v2((48, 96, 192), 1024),
    1.0: _v2((116, 232, 464), 1024),
    1.5: _v2((176, 352, 704), 1024),
    2.0: _v2((244, 488, 976), 2048),
}

SNETS = {  # arXiv 1903.11752, Table 1
    49: ShuffleV2Table(24, ((60, 4), (120, 8), (240, 4)), 512, kernel=5),
    146: ShuffleV2Table(24, ((132, 4), (264, 8), (528, 4)), None, kernel=5),
    535: ShuffleV2Table(48, ((248, 4), (496, 8), (992, 4)), None, kernel=5),
}


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of ``groups`` equal groups: ``[0, C/g, 2C/g, ..., 1, C/g + 1, ...]``."""
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class ShuffleUnit(nn.Module):
    """One unit (arXiv 1807.11164, Fig. 3c and 3d): identity or projection beside 1x1, depthwise, 1x1.

    Args:
        in_channels: Input channels.
        out_channels: Output channels, even; equal to ``in_channels`` at stride 1.
        stride: 1 or 2.
        kernel: Kernel of the depthwise convolutions.
        keep: Stride 2 only: the projection keeps ``in_channels`` instead of giving half of the output.
        parity: Split by even and odd channels, without a shuffle.
        leading_depthwise: A 3x3 depthwise convolution of stride 1 before the branch's first 1x1.
        norm_cfg: Normalisation layer.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        kernel: int,
        keep: bool,
        parity: bool,
        leading_depthwise: bool,
        norm_cfg: dict,
    ):
        super().__init__()
        self.parity = parity
        half = out_channels // 2
        projected = in_channels if keep and stride == 2 else half

        def pointwise(inputs, outputs):
            return ConvModule(inputs, outputs, 1, norm_cfg=norm_cfg)

        def depthwise(channels, kernel=kernel, stride=stride):
            return ConvModule(
                channels, channels, kernel, stride, kernel // 2, groups=channels, norm_cfg=norm_cfg, act_cfg=None
            )

        active = half if stride == 1 else in_channels
        leading = [depthwise(active, kernel=3, stride=1)] if leading_depthwise else []
        self.branch2 = nn.Sequential(
            *leading, pointwise(active, half), depthwise(half), pointwise(half, out_channels - projected)
        )
        self.branch1 = None
        if stride == 2:
            self.branch1 = nn.Sequential(depthwise(in_channels), pointwise(in_channels, projected))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, ceil(H / stride), ceil(W / stride))``."""
        if self.branch1 is not None:
            x = torch.cat([self.branch1(x), self.branch2(x)], 1)
        elif self.parity:
            x = torch.cat([x[:, 0::2], self.branch2(x[:, 1::2])], 1)
        else:
            identity, active = x.chunk(2, 1)
            x = torch.cat([identity, self.branch2(active)], 1)
        return x if self.parity else channel_shuffle(x, 2)


class ShuffleV2Backbone(Backbone):
    """Executor of a :class:`ShuffleV2Table`; see :class:`ShuffleNetV2` and :class:`SNet` for the arguments.

    Module names follow mmpretrain's ShuffleNetV2, so that its weights load as they are.
    """

    def __init__(
        self,
        table: ShuffleV2Table,
        out_indices: Sequence[int],
        first_block: str,
        shuffle_mode: str,
        num_classes: int | None,
        norm_cfg: dict,
        **kwargs,
    ):
        layers = len(table.stages) + (table.final is not None)
        super().__init__((layers - 1,) if num_classes else out_indices, **kwargs)
        add_dialect_check(self, first_block, shuffle_mode)
        channels = [width for width, _ in table.stages]
        strides = [8 << i for i in range(len(channels))]
        if table.final is not None:
            channels, strides = [*channels, table.final], [*strides, strides[-1]]
        self.check_stages(channels, strides)

        self.conv1 = ConvModule(3, table.stem, 3, 2, 1, norm_cfg=norm_cfg)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layers = nn.ModuleList()
        inputs, deepest = table.stem, self.out_indices[-1]
        for width, units in table.stages[: deepest + 1]:
            stage = []
            for i in range(units):
                stage.append(
                    ShuffleUnit(
                        width if i else inputs,
                        width,
                        stride=1 if i else 2,
                        kernel=table.kernel,
                        keep=first_block == 'keep',
                        parity=shuffle_mode == 'parity',
                        leading_depthwise=table.leading_depthwise,
                        norm_cfg=norm_cfg,
                    )
                )
            self.layers.append(nn.Sequential(*stage))
            inputs = width
        if deepest == len(table.stages):
            self.layers.append(ConvModule(inputs, table.final, 1, norm_cfg=norm_cfg))
        self.fc = nn.Linear(self.out_channels[-1], num_classes) if num_classes else None
        self.train()  # frozen from the start: optimizers and DDP look at the parameters before the first train()

    def stages(self) -> list[nn.Module]:
        return [self.conv1, *self.layers]

    def init_weights(self) -> None:
        """Load ``init_cfg``, or draw the release's initial weights (stem 0.01, others 1 / fan-in channels)."""
        if self.init_cfg:
            super().init_weights()
            return
        for name, module in self.named_modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, 0.01 if name.startswith('conv1') else 1 / module.weight.shape[1])
            elif isinstance(module, nn.modules.batchnorm._BatchNorm):
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


@MODELS.register_module()
class ShuffleNetV2(ShuffleV2Backbone):
    """ShuffleNetV2 (arXiv 1807.11164, Table 5).

    Args:
        widen_factor: 0.5, 1.0, 1.5 or 2.0.
        out_indices: 0, 1, 2 for stages 2, 3, 4 (strides 8, 16, 32), 3 for the 1x1 ``conv5`` (stride 32). What lies
            behind the last one is not built.
        first_block: ``'half'`` or ``'keep'``, see the module's text.
        shuffle_mode: ``'interleave'`` or ``'parity'``.
        kernel_size: Kernel of the depthwise convolutions: 3, or 5 as in SNet.
        num_classes: Build a classifier: global average and a linear layer on ``conv5``; ``forward`` gives logits.
        norm_cfg: Normalisation layer.
        frozen_stages, norm_eval, init_cfg: As in :class:`~mmlight.models.backbones.base.Backbone`.

    Raises:
        InputError: for a width without a published table, or an argument out of range.
    """

    def __init__(
        self,
        widen_factor: float = 1.0,
        out_indices: Sequence[int] = (0, 1, 2),
        first_block: str = 'half',
        shuffle_mode: str = 'interleave',
        kernel_size: int = 3,
        num_classes: int | None = None,
        norm_cfg: dict = dict(type='BN'),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        if widen_factor not in SHUFFLENET_V2:
            raise InputError(f'ShuffleNetV2: widen_factor must be one of {list(SHUFFLENET_V2)}, got {widen_factor}')
        if kernel_size not in (3, 5):
            raise InputError(f'ShuffleNetV2: kernel_size must be 3 or 5, got {kernel_size}')
        super().__init__(
            replace(SHUFFLENET_V2[widen_factor], kernel=kernel_size),
            out_indices,
            first_block,
            shuffle_mode,
            num_classes,
            norm_cfg,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )


@MODELS.register_module()
class SNet(ShuffleV2Backbone):
    """SNet (ThunderNet, arXiv 1903.11752, Table 1): ShuffleNetV2 with 5x5 depthwise convolutions.

    Args:
        arch: 49, 146 or 535; or a table of one's own as a dict of :class:`ShuffleV2Table`'s fields.
        out_indices: 0, 1, 2 for stages 2, 3, 4 (strides 8, 16, 32), and 3 for SNet49's 512-channel ``conv5``.
            ``None``: the detector's C4 (stride 16) and C5 (stride 32: ``conv5`` where there is one, else stage 4).
        first_block, shuffle_mode, num_classes, norm_cfg, frozen_stages, norm_eval, init_cfg: As in
            :class:`ShuffleNetV2`. The authors' weights are ``'keep'`` and ``'parity'``.

    Raises:
        InputError: for another ``arch``, or an argument out of range.
    """

    def __init__(
        self,
        arch: int | dict = 49,
        out_indices: Sequence[int] | None = None,
        first_block: str = 'half',
        shuffle_mode: str = 'interleave',
        num_classes: int | None = None,
        norm_cfg: dict = dict(type='BN'),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ):
        if isinstance(arch, dict):
            table = ShuffleV2Table(**arch)
        elif arch in SNETS:
            table = SNETS[arch]
        else:
            raise InputError(f'SNet: arch must be one of {list(SNETS)} or a table, got {arch!r}')
        if out_indices is None:
            out_indices = (1, 2 if table.final is None else 3)
        super().__init__(
            table,
            out_indices,
            first_block,
            shuffle_mode,
            num_classes,
            norm_cfg,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            init_cfg=init_cfg,
        )
