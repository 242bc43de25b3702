"""CR-NAS's spaces (arXiv 1912.11234): blocks of each stage under a budget, and the dilation of each block."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from mmengine.config import Config

from mmlight import checks
from mmlight.errors import InputError
from mmlight.nas.spaces.base import Decision, SearchSpace
from mmlight.registry import SPACES
from mmlight.tables.allocations import DILATIONS, RESNET_CHOICES, check_choices

BACKBONES = ('mmlight.CRResNet', 'mmlight.CRResNeXt', 'mmlight.CRMobileNetV2')


@SPACES.register_module()
class StageSpace(SearchSpace):
    """The blocks of each stage, one of its choices, their (weighted) sum being the budget.

    A plain residual block costs the same multiply-adds in every stage, so a fixed number of them fixes the cost (not
    the parameters). Where it does not, weights and a tolerance bound it. The architecture is a tuple, the blocks of
    each stage.

    Args:
        choices: For each stage the numbers of blocks that it may have, ascending.
        budget: What the sum must be; None: anything.
        weights: What a block of each stage counts; default 1.
        tolerance: How far the sum may be from the budget.

    Raises:
        InputError: for choices that are not ascending, and for a budget that no allocation has; the nearest are named.
    """

    def __init__(
        self,
        choices: Sequence[Sequence[int]] = RESNET_CHOICES,
        budget: float | None = None,
        weights: Sequence[float] | None = None,
        tolerance: float = 0.0,
    ):
        self.choices = check_choices('StageSpace', choices)
        self.weights = tuple(weights or (1,) * len(self.choices))
        if len(self.weights) != len(self.choices):
            raise InputError(f'StageSpace: weights must be {len(self.choices)} numbers, got {self.weights}')
        self.budget, self.tolerance = budget, tolerance
        self.decisions = tuple(Decision(f'stage {i}', len(stage)) for i, stage in enumerate(self.choices, 1))
        members = list(self.members())
        self.size = len(members)
        self._prefixes = {blocks[:end] for blocks in members for end in range(len(blocks) + 1)}
        if not self.size:
            wanted = budget or 0
            sums = sorted({self.cost(blocks) for blocks in product(*self.choices)}, key=lambda x: abs(x - wanted))
            near = ' and '.join(f'{x:g}' for x in sorted(sums[:2]))
            raise InputError(f'StageSpace: budget {budget:g} has no allocation, the nearest budgets are {near}')

    def cost(self, blocks: Sequence[int]) -> float:
        """The weighted sum."""
        return sum(weight * count for weight, count in zip(self.weights, blocks, strict=True))

    def _fits(self, cost: float) -> bool:
        return self.budget is None or abs(cost - self.budget) <= self.tolerance + 1e-9 * abs(self.budget)

    def __contains__(self, blocks: Sequence[int]) -> bool:
        inside = len(blocks) == len(self.choices) and all(
            count in stage for count, stage in zip(blocks, self.choices, strict=True)
        )
        return inside and self._fits(self.cost(blocks))

    def members(self) -> Iterator[tuple[int, ...]]:
        """All allocations, in ascending order."""
        return (blocks for blocks in product(*self.choices) if self._fits(self.cost(blocks)))

    def mask(self, prefix: Sequence[int]) -> list[bool]:
        known = tuple(stage[choice] for stage, choice in zip(self.choices, prefix, strict=False))
        return [(*known, count) in self._prefixes for count in self.choices[len(prefix)]]

    def decode(self, choices: Sequence[int]) -> tuple[int, ...]:
        return tuple(stage[i] for stage, i in zip(self.choices, self.check(choices), strict=True))

    def encode(self, architecture: Sequence[int]) -> tuple[int, ...]:
        if tuple(architecture) not in self:
            raise InputError(f'StageSpace: {tuple(architecture)} is not in the space')
        return tuple(stage.index(count) for stage, count in zip(self.choices, architecture, strict=True))

    def to_dict(self, architecture: Sequence[int]) -> dict:
        return {'stage_blocks': list(architecture)}

    def apply(self, architecture: Sequence[int], config: Config) -> None:
        write_into(config, stage_blocks=architecture, block_dilations=None)


@SPACES.register_module()
class OpSpace(SearchSpace):
    """The dilation of each block's 3x3 convolution. The architecture is a tuple, a dilation for each block.

    Args:
        num_blocks: Blocks of the backbone.
        ops: Dilations to choose from, ascending.
    """

    def __init__(self, num_blocks: int, ops: Sequence[int] = DILATIONS):
        checks.positive_int('OpSpace', num_blocks=num_blocks)
        self.ops = check_choices('OpSpace', [ops])[0]
        self.num_blocks = num_blocks
        self.decisions = tuple(Decision(f'dilation of block {i}', len(self.ops)) for i in range(num_blocks))
        self.size = len(self.ops) ** num_blocks

    def decode(self, choices: Sequence[int]) -> tuple[int, ...]:
        return tuple(self.ops[choice] for choice in self.check(choices))

    def encode(self, architecture: Sequence[int]) -> tuple[int, ...]:
        if len(architecture) != self.num_blocks or not set(architecture) <= set(self.ops):
            raise InputError(f'OpSpace: needs {self.num_blocks} dilations out of {self.ops}, got {tuple(architecture)}')
        return tuple(self.ops.index(dilation) for dilation in architecture)

    def to_dict(self, architecture: Sequence[int]) -> dict:
        return {'block_dilations': list(architecture)}

    def apply(self, architecture: Sequence[int], config: Config) -> None:
        write_into(config, block_dilations=architecture)


def write_into(config: Config, **entries: Any) -> None:
    """Set entries of a config's backbone, which must be one that takes them."""
    backbone = config.model.backbone
    if backbone.get('type') not in BACKBONES:
        raise InputError(f'model.backbone must be one of {", ".join(BACKBONES)}, got {backbone.get("type")!r}')
    for key, value in entries.items():
        backbone[key] = value if value is None else tuple(value)
