"""Stage allocations (CR-NAS, arXiv 1912.11234) as tables: how many blocks each resolution stage of a backbone has.

An allocation holds the number of blocks of each stage, the finest stage first; a dilation list one dilation for each
block, from shallow to deep.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mmlight.errors import InputError

RESNET_CHOICES = (
    tuple(range(1, 11)),
    tuple(range(1, 11)),
    (2, 3, 5, 6, 9, 11, 14, 17, 20, 23),
    (2, 3, 4, 6, 7, 9, 11, 13, 15, 17),
)
"""Blocks that a stage may have: one space for ResNet-18, 50 and 101 (Sec. 3.1), also used for ResNeXt."""

MOBILENET_V2_CHOICES = (tuple(range(1, 6)),) * 2 + (tuple(range(3, 8)),) + (tuple(range(2, 7)),) * 2
"""Blocks of the five groups of MobileNetV2 that are searched (appendix)."""

MOBILENET_V2_WEIGHTS = (1.5, 1.0, 1.0, 0.75, 1.25)
"""What a block of each group counts in the published budget of 16 (appendix)."""

MOBILENET_V2_GROUPS = ((24, 56), (32, 28), (64, 14), (96, 14), (160, 7))
"""Channels of each group, and its height and width for an image of 224x224."""

MOBILENET_V2_BLOCK_MACS = tuple(side**2 * (12 * c**2 + 54 * c) for c, side in MOBILENET_V2_GROUPS)
"""Multiply-adds of a block that is not the first of its group, for an image of 224x224: expansion 6, 3x3 depthwise."""

MOBILENET_V2_MACS = 299_494_272
"""Multiply-adds of the baseline without classifier for an image of 224x224."""

DILATIONS = (1, 2, 3)
"""Of a block's 3x3 convolution (Sec. 3.2)."""

BASELINES = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
}
"""Depth of a ResNet -> its blocks."""

MOBILENET_V2_BASELINE = (2, 3, 4, 3, 3)


@dataclass(frozen=True)
class Allocation:
    """A network found by reallocation.

    Attributes:
        family: ``'ResNet'``, ``'ResNeXt'`` or ``'MobileNetV2'``.
        stage_blocks: Blocks of each stage.
        source: Where it is published.
        status: ``'published'`` or ``'found by us'``.
        depth: Of the ResNet or ResNeXt that it starts from.
        block_dilations: One dilation a block; None: all are 1.
    """

    family: str
    stage_blocks: tuple[int, ...]
    source: str
    status: str = 'published'
    depth: int | None = None
    block_dilations: tuple[int, ...] | None = None


_APPENDIX = 'arXiv 1912.11234, appendix'
SCR_RESNET18 = Allocation('ResNet', (1, 1, 2, 4), _APPENDIX, depth=18)
SCR_RESNET50 = Allocation('ResNet', (1, 3, 5, 7), _APPENDIX, depth=50)
SCR_RESNET101 = Allocation('ResNet', (2, 3, 17, 11), _APPENDIX, depth=101)
SCR_RESNEXT50 = Allocation('ResNeXt', (1, 3, 5, 7), _APPENDIX, depth=50)
SCR_RESNEXT101 = Allocation('ResNeXt', (2, 3, 17, 11), _APPENDIX, depth=101)
SCR_MOBILENET_V2 = Allocation('MobileNetV2', (2, 2, 3, 4, 4), _APPENDIX)

PUBLISHED = {
    'scr-resnet18': SCR_RESNET18,
    'scr-resnet50': SCR_RESNET50,
    'scr-resnet101': SCR_RESNET101,
    'scr-resnext50': SCR_RESNEXT50,
    'scr-resnext101': SCR_RESNEXT101,
    'scr-mobilenet-v2': SCR_MOBILENET_V2,
}
"""The dilations of the published CR networks are not known: only the allocations (SCR) stand here."""


def theoretical_fields(
    stage_blocks: tuple[int, ...], block_dilations: tuple[int, ...] | None = None, bottleneck: bool = True
) -> tuple[int, ...]:
    """Side of the theoretical receptive field of C2 to C5 of a ResNet, in pixels of the image.

    Args:
        stage_blocks: Blocks of each stage.
        block_dilations: One a block; None: all are 1.
        bottleneck: Whether the blocks have one 3x3 convolution, or two of which the second is dilated.
    """
    dilations = iter(block_dilations or (1,) * sum(stage_blocks))
    field, jump, fields = 11, 4, []  # 7x7 convolution and 3x3 pool, both of stride 2
    for stage, blocks in enumerate(stage_blocks):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            dilation = next(dilations)
            if bottleneck:  # the stride is on the 3x3 convolution
                field += 2 * dilation * jump
                jump *= stride
            else:
                field += 2 * jump
                jump *= stride
                field += 2 * dilation * jump
        fields.append(field)
    return tuple(fields)


def check_choices(name: str, choices: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    """The choices of each stage as tuples.

    Raises:
        InputError: for a list that is empty, not ascending, or holds anything else than positive integers.
    """
    found = tuple(tuple(stage) for stage in choices)
    for number, stage in enumerate(found, 1):
        wrong = any(not isinstance(blocks, int) or blocks < 1 for blocks in stage)
        if not stage or wrong or list(stage) != sorted(set(stage)):
            raise InputError(
                f'{name}: choices of stage {number} must be ascending positive integers without repeats, got {stage}'
            )
    return found
