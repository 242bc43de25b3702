"""ResNet, ResNeXt and MobileNetV2 with any number of blocks a stage and a dilation for each block (CR-NAS)."""

from collections.abc import Sequence
from typing import Any

from mmdet.models.backbones import MobileNetV2, ResNet, ResNeXt
from torch import nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.registry import MODELS, Mixin
from mmlight.tables.allocations import MOBILENET_V2_BASELINE


def check_blocks(name: str, stage_blocks: Sequence[int], stages: int) -> tuple[int, ...]:
    """The blocks of each stage as a tuple.

    Raises:
        InputError: for another number of stages, or anything else than positive integers.
    """
    found = tuple(stage_blocks)
    if len(found) != stages or any(not isinstance(blocks, int) or blocks < 1 for blocks in found):
        raise InputError(f'{name}: stage_blocks must be {stages} positive integers, got {found}')
    return found


def check_dilations(name: str, dilations: Sequence[int] | None, blocks: int) -> tuple[int, ...]:
    """The dilation of each block; None means 1 everywhere.

    Raises:
        InputError: for another number of dilations, or anything else than positive integers.
    """
    found = (1,) * blocks if dilations is None else tuple(dilations)
    if len(found) != blocks or any(not isinstance(dilation, int) or dilation < 1 for dilation in found):
        raise InputError(f'{name}: block_dilations must be {blocks} positive integers, one a block, got {found}')
    return found


def dilate(conv: nn.Conv2d, dilation: int) -> None:
    """Let a 3x3 convolution have a dilation; the size of its output, its weights and its cost stay."""
    conv.dilation = conv.padding = (dilation, dilation)


class _ReallocatedResNet(Mixin):
    """What ResNet and ResNeXt share: the tables, and the dilated 3x3 convolutions.

    In a basic block the second convolution is dilated, in a bottleneck the only 3x3 one (arXiv 1912.11234, Sec. 3.2).
    """

    arch_settings: dict[int, tuple[type, Sequence[int]]]

    def __init__(
        self,
        depth: int,
        stage_blocks: Sequence[int] | None = None,
        block_dilations: Sequence[int] | None = None,
        **kwargs,
    ):
        name = type(self).__name__
        known = type(self).arch_settings
        checks.one_of(known, name, depth=depth)
        block, baseline = known[depth]
        stage_blocks = check_blocks(name, baseline if stage_blocks is None else stage_blocks, 4)
        self.arch_settings = {depth: (block, stage_blocks)}
        self.block_dilations = check_dilations(name, block_dilations, sum(stage_blocks))
        if any(dilation != 1 for dilation in kwargs.get('dilations', ())):
            raise InputError(f'{name}: dilations are of whole stages, use block_dilations; got {kwargs["dilations"]}')
        super().__init__(depth=depth, **kwargs)
        for block, dilation in zip(self.blocks(), self.block_dilations, strict=True):
            if dilation != 1:
                dilate(block.conv2, dilation)

    def blocks(self) -> list[Any]:
        """All blocks, from shallow to deep."""
        return [block for name in self.res_layers for block in getattr(self, name)]


@MODELS.register_module()
class CRResNet(_ReallocatedResNet, ResNet):
    """ResNet whose stages have any number of blocks, and each block its own dilation.

    Images (N, 3, H, W) become four maps of strides 4, 8, 16, 32 with 64, 128, 256, 512 channels (times 4 for
    bottlenecks). The multiply-adds depend on the sum of the blocks only, where H and W are multiples of 32; the
    parameters grow with the blocks of the last stages. Source: Computation Reallocation for Object Detection, arXiv
    1912.11234.

    Args:
        depth: 18 and 34 have basic blocks, 50, 101 and 152 bottlenecks.
        stage_blocks: Blocks of each of the four stages; default: the ResNet of this depth.
        block_dilations: One dilation for each block, from shallow to deep; default: all 1.
        kwargs: Of mmdet's ``ResNet``.

    Raises:
        InputError: for another depth, and for tables that are not as said.
    """


@MODELS.register_module()
class CRResNeXt(_ReallocatedResNet, ResNeXt):
    """:class:`CRResNet` with grouped convolutions, of depth 50, 101 or 152 (the paper's: ``groups=32``)."""


@MODELS.register_module()
class CRMobileNetV2(MobileNetV2):
    """MobileNetV2 with any number of blocks in its five searched groups, and a dilation for each of these blocks.

    Images (N, 3, H, W) become maps of strides 4, 8, 16, 32 with 24, 32, 96, 1280 channels. The first block (expansion
    1), the last (320 channels) and the final convolution stay. The depthwise convolution is dilated. Source: arXiv
    1912.11234.

    Args:
        stage_blocks: Blocks of the groups of 24, 32, 64, 96 and 160 channels.
        block_dilations: One dilation for each block of these groups, from shallow to deep; default: all 1.
        kwargs: Of mmdet's ``MobileNetV2``.

    Raises:
        InputError: for tables that are not as said.
    """

    def __init__(
        self,
        stage_blocks: Sequence[int] = MOBILENET_V2_BASELINE,
        block_dilations: Sequence[int] | None = None,
        **kwargs,
    ):
        stage_blocks = check_blocks('CRMobileNetV2', stage_blocks, 5)
        self.block_dilations = check_dilations('CRMobileNetV2', block_dilations, sum(stage_blocks))
        first, *searched, last = MobileNetV2.arch_settings
        groups = ([t, c, n, s] for (t, c, _, s), n in zip(searched, stage_blocks, strict=True))
        self.arch_settings = [first, *groups, last]
        self.stage_blocks = stage_blocks
        super().__init__(**kwargs)
        for block, dilation in zip(self.blocks(), self.block_dilations, strict=True):
            if dilation != 1:
                dilate(block.depthwise_conv.conv, dilation)

    def blocks(self) -> list[Any]:
        """The blocks of the five groups, from shallow to deep."""
        return [block for number in range(2, 7) for block in getattr(self, f'layer{number}')]
