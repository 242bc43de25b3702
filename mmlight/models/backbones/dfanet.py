"""DFANet's light Xception networks and their cascade (arXiv 1904.02216)."""

import re
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.layers import xception_stage
from mmlight.models.backbones.base import Backbone
from mmlight.registry import MODELS

XCEPTIONS = {  # (channels inside the blocks, blocks) of enc2, enc3, enc4; arXiv 1904.02216, Table 1
    'A': ((12, 4), (24, 6), (48, 4)),
    'B': ((8, 4), (16, 6), (32, 4)),
}
STEM_CHANNELS = 8
IMAGENET_CLASSES = 1000
"""Width of the attention's linear layer, which is ImageNet's classifier."""


def widths(arch: str, owner: str) -> list[int]:
    """Channels that leave enc2, enc3 and enc4."""
    checks.one_of(XCEPTIONS, owner, arch=arch)
    return [4 * width for width, _ in XCEPTIONS[arch]]


def encoder(arch: str, in_channels: Sequence[int], norm_cfg: dict) -> nn.ModuleList:
    """enc2, enc3 and enc4 of an Xception with these input channels; each halves its input."""
    stages = zip(in_channels, XCEPTIONS[arch], strict=True)
    return nn.ModuleList(xception_stage(inputs, width, blocks, norm_cfg=norm_cfg) for inputs, (width, blocks) in stages)


def stem(norm_cfg: dict) -> ConvModule:
    return ConvModule(3, STEM_CHANNELS, 3, 2, 1, norm_cfg=norm_cfg)


@MODELS.register_module()
class DFAXception(Backbone):
    """Xception A or B (arXiv 1904.02216, Table 1) without the attention: the network that ImageNet trains, and the
    "Xception" rows of Table 2. Its weights load into :class:`DFANet`.

    Args:
        arch: ``'A'`` or ``'B'``.
        out_indices: 0, 1, 2 for enc2, enc3, enc4 (strides 4, 8, 16).
        num_classes: Build a classifier: global average and a linear layer on enc4; ``forward`` gives logits.
        norm_cfg: Normalisation layers.
        frozen_stages, norm_eval, init_cfg: As in :class:`~mmlight.models.backbones.base.Backbone`.

    Raises:
        InputError: for an unknown ``arch`` or an argument out of range.
    """

    def __init__(
        self,
        arch: str = 'A',
        out_indices: Sequence[int] = (0, 1, 2),
        num_classes: int | None = None,
        norm_cfg: dict = dict(type='BN'),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = dict(type='Normal', layer='Linear', std=0.01),
    ):
        if num_classes is not None and num_classes < 1:
            raise InputError(f'DFAXception: num_classes must be at least 1 or None, got {num_classes}')
        super().__init__((2,) if num_classes else out_indices, frozen_stages, norm_eval, init_cfg)
        channels = widths(arch, 'DFAXception')
        self.check_stages(channels, (4, 8, 16))
        self.conv1 = stem(norm_cfg)
        self.layers = encoder(arch, (STEM_CHANNELS, *channels[:-1]), norm_cfg)[: self.out_indices[-1] + 1]
        self.fc = nn.Linear(channels[-1], num_classes) if num_classes else None
        self.train()

    def stages(self) -> list[nn.Module]:
        return [self.conv1, *self.layers]

    def forward(self, image: Tensor) -> tuple[Tensor, ...] | Tensor:
        """``(N, 3, H, W)`` to a tuple of ``(N, out_channels[i], ceil(H / out_strides[i]), ...)``, or to logits
        ``(N, num_classes)`` in a classifier."""
        x = self.conv1(image)
        outputs = []
        for i, layer in enumerate(self.layers):
            x = layer(x)
            if i in self.out_indices:
                outputs.append(x)
        if self.fc is not None:
            return self.fc(x.mean((2, 3)))
        return tuple(outputs)


class FCAttention(nn.Module):
    """``x * sigmoid(conv(fc(mean over space of x)))`` (arXiv 1904.02216, Fig. 3), ``fc`` to ImageNet's 1000 classes.

    Neither the sigmoid nor the lack of a norm is stated in the paper; a batch norm could not train on one image.

    Args:
        channels: Channels of the map.
        act_cfg: What stands for the sigmoid.
        norm_cfg: Normalisation behind the convolution, which then has no bias.
    """

    def __init__(self, channels: int, act_cfg: dict | None = dict(type='Sigmoid'), norm_cfg: dict | None = None):
        super().__init__()
        self.fc = nn.Linear(channels, IMAGENET_CLASSES)
        self.conv = ConvModule(IMAGENET_CLASSES, channels, 1, norm_cfg=norm_cfg, act_cfg=act_cfg)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv(self.fc(x.mean((2, 3)))[:, :, None, None])


class Branch(nn.Module):
    """One backbone of the cascade: enc2, enc3, enc4 and the attention.

    Args:
        arch: ``'A'`` or ``'B'``.
        in_channels: Input channels of enc2, enc3, enc4.
        norm_cfg: Normalisation layers.
        attention: Arguments of :class:`FCAttention`.
    """

    def __init__(self, arch: str, in_channels: Sequence[int], norm_cfg: dict, attention: dict):
        super().__init__()
        self.layers = encoder(arch, in_channels, norm_cfg)
        self.attention = FCAttention(4 * XCEPTIONS[arch][-1][0], **attention)

    def forward(self, x: Tensor, skips: Sequence[Tensor | None]) -> list[Tensor]:
        """Outputs of enc2, enc3, enc4 and the attention; enc3 and enc4 read the previous output and their skip."""
        outputs = []
        for layer, skip in zip(self.layers, (None, *skips), strict=True):
            x = layer(x if skip is None else torch.cat([x, skip], 1))
            outputs.append(x)
        return [*outputs, self.attention(x)]


@MODELS.register_module()
class DFANet(Backbone):
    """Cascade of light Xceptions (Deep Feature Aggregation, arXiv 1904.02216, Fig. 3).

    The first backbone sees the image at stride 2. Each further one starts from the previous one's enc2 beside its
    attention's output, which is brought to the same size (sub-network aggregation), and so runs at half its
    resolution; its enc3 and enc4 also read the previous one's outputs of the same stage (sub-stage aggregation). Any
    image size works.

    Weights of a :class:`DFAXception` classifier (also inside an mmpretrain ``ImageClassifier``) can be loaded:
    ``conv1`` and the first backbone take them all, its ``fc`` goes into every attention, further backbones take what
    has the same shape: all but the first convolution and the shortcut of each stage.

    Args:
        arch: Xception ``'A'`` or ``'B'``.
        num_branches: Backbones in the cascade; the paper compares 1 to 4 and uses 3.
        norm_cfg: Normalisation layers.
        attention_act, attention_norm: Of the attentions, see :class:`FCAttention`; re-implementations have others.
        frozen_stages: ``-1`` trains everything, ``0`` freezes ``conv1``, ``n`` also the first ``n`` backbones.
        norm_eval, init_cfg: As in :class:`~mmlight.models.backbones.base.Backbone`.

    Raises:
        InputError: for an unknown ``arch`` or an argument out of range; in training, by ``forward``, if batch norm has
            one value per channel to normalise, as on one image whose coarsest map has one pixel.
    """

    def __init__(
        self,
        arch: str = 'A',
        num_branches: int = 3,
        norm_cfg: dict = dict(type='BN'),
        attention_act: dict | None = dict(type='Sigmoid'),
        attention_norm: dict | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = dict(type='Normal', layer='Linear', std=0.01),
    ):
        low, middle, high = widths(arch, 'DFANet')
        if not isinstance(num_branches, int) or num_branches < 1:
            raise InputError(f'DFANet: num_branches must be a whole number of at least 1, got {num_branches!r}')
        if not -1 <= frozen_stages <= num_branches:
            raise InputError(f'DFANet: frozen_stages must be within -1..{num_branches}, got {frozen_stages}')
        super().__init__(range(2 * num_branches), frozen_stages, norm_eval, init_cfg)
        self.out_channels = (low,) * num_branches + (high,) * num_branches
        self.out_strides = tuple(4 << i for i in range(num_branches)) + tuple(16 << i for i in range(num_branches))
        self.conv1 = stem(norm_cfg)
        first, further = (STEM_CHANNELS, low, middle), (low + high, low + middle, middle + high)
        attention = dict(act_cfg=attention_act, norm_cfg=attention_norm)
        self.branches = nn.ModuleList(
            Branch(arch, further if i else first, norm_cfg, attention) for i in range(num_branches)
        )
        self._register_load_state_dict_pre_hook(_spread_classifier, with_module=True)
        self.train()

    def stages(self) -> list[nn.Module]:
        return [self.conv1, *self.branches]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """``(N, 3, H, W)`` to every backbone's enc2 and then every backbone's attention output, with three of them at
        strides 4, 8, 16 and 16, 32, 64; sizes are rounded up."""
        try:
            return self._cascade(image)
        except ValueError as error:
            if 'more than 1 value per channel' not in str(error):
                raise
            stride, (height, width) = self.out_strides[-1], image.shape[2:]
            if max(height, width) > stride:
                reason = 'an attention with batch norm normalises maps of 1x1: train with two images per GPU'
            else:
                reason = (
                    f'one image of {height}x{width} is one pixel at stride {stride}, which batch norm cannot '
                    f'normalise: train with two images per GPU or more than {stride} pixels'
                )
            raise InputError(f'DFANet: {reason}') from error

    def _cascade(self, image: Tensor) -> tuple[Tensor, ...]:
        x, skips = self.conv1(image), (None, None)
        lows: list[Tensor] = []
        highs: list[Tensor] = []
        for branch in self.branches:
            if lows:
                x = torch.cat([lows[-1], F.interpolate(highs[-1], lows[-1].shape[-2:], mode='bilinear')], 1)
            low, *skips, high = branch(x, skips)
            lows.append(low)
            highs.append(high)
        return (*lows, *highs)


def _spread_classifier(module: DFANet, state_dict: dict[str, Tensor], prefix: str, *_) -> None:
    """Hook of ``load_state_dict``: turn a :class:`DFAXception`'s weights, in place, into those of the whole cascade.

    What a classifier does not have keeps its value. What it should have and what nobody reads is left to the loader to
    report.
    """
    found = {name[len(prefix) :]: tensor for name, tensor in state_dict.items() if name.startswith(prefix)}
    source = found
    if not prefix:  # a file may hold the model around it
        source = {re.sub(r'^(module\.)?(backbone\.|head\.(?=fc\.))?', '', name): t for name, t in found.items()}
    if not any(name.startswith('layers.') for name in source):
        return
    for name in found:
        del state_dict[prefix + name]
    used = set()
    for name, own in module.state_dict().items():
        origin = re.sub(r'^branches\.\d+\.(attention\.(?=fc\.))?', '', name)
        used.add(origin)
        given = source.get(origin)
        further = name.startswith('branches.') and not name.startswith('branches.0.')
        if '.attention.conv.' in name or (further and given is not None and given.shape != own.shape):
            given = own
        if given is not None:
            state_dict[prefix + name] = given
    state_dict.update({prefix + name: tensor for name, tensor in source.items() if name not in used})
