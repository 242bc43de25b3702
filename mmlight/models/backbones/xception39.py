"""Xception39, the light backbone of BiSeNet (arXiv 1808.00897)."""

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmlight.errors import InputError
from mmlight.layers import xception_stage
from mmlight.models.backbones.base import Backbone
from mmlight.registry import MODELS

STEM = 8
STAGES = ((16, 4), (32, 8), (64, 4))
"""(inner channels, blocks) of each stage, as in the authors' code (the paper has no table); four times the inner
channels go out. 39.48 M multiply-adds at 224x224 give the network its name."""


@MODELS.register_module()
class Xception39(Backbone):
    """Xception39 (BiSeNet, arXiv 1808.00897, Sec. 3.2): a stem of stride 4 and three stages of Xception blocks.

    Args:
        out_indices: 0, 1, 2 for the stages of strides 8, 16, 32 with 64, 128, 256 channels.
        num_classes: Build a classifier for pre-training: global average and a linear layer on the last stage;
            ``forward`` gives logits.
        norm_cfg: Normalisation layers.
        frozen_stages, norm_eval, init_cfg: As in :class:`~mmlight.models.backbones.base.Backbone`.

    Raises:
        InputError: for an argument out of range.
    """

    def __init__(
        self,
        out_indices: Sequence[int] = (0, 1, 2),
        num_classes: int | None = None,
        norm_cfg: dict = dict(type='BN'),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | Sequence[dict] | None = (
            dict(type='Kaiming', layer='Conv2d'),
            dict(type='Normal', std=0.01, layer='Linear'),
        ),
    ):
        if num_classes is not None and num_classes < 1:
            raise InputError(f'Xception39: num_classes must be at least 1 or None, got {num_classes}')
        last = len(STAGES) - 1
        super().__init__((last,) if num_classes else out_indices, frozen_stages, norm_eval, init_cfg)
        self.stem = nn.Sequential(ConvModule(3, STEM, 3, 2, 1, norm_cfg=norm_cfg), nn.MaxPool2d(3, 2, 1))
        self.layers = nn.ModuleList()
        channels = [STEM]
        for mid_channels, blocks in STAGES:
            stage: Any = xception_stage(channels[-1], mid_channels, blocks, True, norm_cfg)
            self.layers.append(stage)
            channels.append(stage[-1].out_channels)
        self.check_stages(channels[1:], [8 << i for i in range(len(STAGES))])
        self.layers = self.layers[: self.out_indices[-1] + 1]  # what lies behind is not trained
        self.fc = nn.Linear(channels[-1], num_classes) if num_classes else None
        self.train()  # frozen from the start: optimizers and DDP look at the parameters before the first train()

    def stages(self) -> list[nn.Module]:
        return [self.stem, *self.layers]

    def forward(self, image: Tensor) -> tuple[Tensor, ...] | Tensor:
        """``(N, 3, H, W)`` to a tuple of ``(N, out_channels[i], ceil(H / out_strides[i]), ...)``, or to logits
        ``(N, num_classes)`` in a classifier."""
        x = self.stem(image)
        outputs = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.out_indices:
                outputs.append(x)
        return tuple(outputs) if self.fc is None else self.fc(x.mean((2, 3)))
