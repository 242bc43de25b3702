"""SpineNet's and the R[N]-SP[M] spaces of scale-permuted networks (arXiv 1912.05027, Sec. 3.2)."""

from collections.abc import Sequence
from math import comb, factorial, prod

from mmengine.config import Config

from mmlight.errors import InputError
from mmlight.nas.spaces.base import Decision, SearchSpace
from mmlight.registry import SPACES
from mmlight.tables import FeatureGraph
from mmlight.tables.scale_permuted import BLOCK_COUNTS, FISH_ORDER, HOURGLASS_ORDER, Block, ScalePermuted

OUTPUT_LEVELS = (3, 4, 5, 6, 7)
SHIFTS = (-1, 0, 1, 2)
KINDS = ('bottleneck', 'residual')
WINDOW = 5
"""An intermediate block reads two of the last five features, an output block any."""

BASES = {'SpineNet': 'R0-SP53', **{name: name for name in BLOCK_COUNTS if name.startswith('R')}}
ORDERS = {'Hourglass': HOURGLASS_ORDER, 'Fish': FISH_ORDER}


@SPACES.register_module()
class SpineNetSpace(SearchSpace):
    """Scale permutation, cross-scale connections and, for SpineNet, the blocks' levels and types.

    The decisions in their order: the order of the intermediate blocks, the order of the five outputs, the level shifts
    of the intermediate blocks, the types of all blocks, two parents for each block. That is 70 for SpineNet, 45 for
    R0-SP53. The architecture is a :class:`mmlight.tables.scale_permuted.ScalePermuted`.

    Args:
        base: ``'SpineNet'``, ``'R35-SP18'``, ``'R23-SP30'``, ``'R14-SP39'`` or ``'R0-SP53'``; ``'Hourglass'`` or
            ``'Fish'`` for R0-SP53's blocks in a fixed order, of which only the connections are searched.
        dead_policy: What happens to a block that nothing reads in the end: ``'prune'`` leaves it out, ``'reject'``
            makes the architecture illegal.
    """

    def __init__(self, base: str = 'SpineNet', dead_policy: str = 'prune'):
        if base not in BASES and base not in ORDERS:
            raise InputError(f'SpineNetSpace: base must be one of {[*BASES, *ORDERS]}, got {base!r}')
        if dead_policy not in ('prune', 'reject'):
            raise InputError(f"SpineNetSpace: dead_policy must be 'prune' or 'reject', got {dead_policy!r}")
        self.base = base
        self.dead_policy = dead_policy
        self.adjusts = base == 'SpineNet'
        self.fixed = base in ORDERS
        stem, blocks = BLOCK_COUNTS[BASES.get(base, 'R0-SP53')]
        self.stem = tuple(level for level, count in stem.items() for _ in range(count))
        left = {level: count - (level in OUTPUT_LEVELS) for level, count in blocks.items()}
        self.levels = tuple(level for level, count in left.items() for _ in range(count))
        """Levels of the intermediate blocks, before permutation and shift."""
        if self.fixed:
            self.levels = ORDERS[base][len(self.stem) : -len(OUTPUT_LEVELS)]
            self.outputs = ORDERS[base][-len(OUTPUT_LEVELS) :]
        self.count = len(self.levels) + len(OUTPUT_LEVELS)
        self.decisions = tuple(self._decisions())
        windows = (comb(self._window(block), 2) for block in range(self.count))
        self.size = prod(windows)
        if not self.fixed:
            self.size *= factorial(len(self.levels)) * factorial(len(OUTPUT_LEVELS))
        if self.adjusts:
            self.size *= len(SHIFTS) ** len(self.levels) * len(KINDS) ** self.count

    def _window(self, block: int) -> int:
        """Features that a block may read."""
        earlier = len(self.stem) + block
        return min(earlier, WINDOW) if block < len(self.levels) else earlier

    def _decisions(self) -> list[Decision]:
        intermediate, found = len(self.levels), []
        if not self.fixed:
            found += [Decision(f'intermediate {i}', intermediate) for i in range(intermediate)]
            found += [Decision(f'output {i}', len(OUTPUT_LEVELS)) for i in range(len(OUTPUT_LEVELS))]
        if self.adjusts:
            found += [Decision(f'level shift of block {i}', len(SHIFTS)) for i in range(intermediate)]
            found += [Decision(f'type of block {i}', len(KINDS)) for i in range(self.count)]
        self.first_parent = len(found)
        for block in range(self.count):
            done = tuple(self.first_parent + 2 * earlier + 1 for earlier in range(block))
            anchors = (None,) * len(self.stem) + done
            found += [Decision(f'parent {side} of block {block}', len(anchors), anchors) for side in 'AB']
        return found

    def mask(self, prefix: Sequence[int]) -> list[bool]:
        step, intermediate = len(prefix), len(self.levels)
        legal = super().mask(prefix)
        if step >= self.first_parent:
            block, second = divmod(step - self.first_parent, 2)
            for feature in range(len(legal) - self._window(block)):
                legal[feature] = False
            if second:
                legal[prefix[-1]] = False
        elif not self.fixed and step < self.count:
            start = 0 if step < intermediate else intermediate
            for used in prefix[start:]:
                legal[used] = False
        return legal

    def decode(self, choices: Sequence[int]) -> ScalePermuted:
        choices = self.check(choices)
        intermediate = len(self.levels)
        levels = list(self.levels)
        outputs = list(self.outputs) if self.fixed else []
        if not self.fixed:
            levels = [self.levels[choice] for choice in choices[:intermediate]]
            outputs = [OUTPUT_LEVELS[choice] for choice in choices[intermediate : self.count]]
        kinds = [KINDS[0]] * self.count
        if self.adjusts:
            shifts = choices[self.count : self.count + intermediate]
            levels = [_clamp(level + SHIFTS[shift]) for level, shift in zip(levels, shifts, strict=True)]
            kinds = [KINDS[choice] for choice in choices[self.count + intermediate : self.first_parent]]
        parents = choices[self.first_parent :]
        blocks = (
            Block(level, kind, tuple(sorted(parents[2 * i : 2 * i + 2])), i >= intermediate)
            for i, (level, kind) in enumerate(zip(levels + outputs, kinds, strict=True))
        )
        table = ScalePermuted(self.stem, tuple(blocks))
        table.graph(prune=self.dead_policy == 'prune')
        return table

    def encode(self, architecture: ScalePermuted) -> tuple[int, ...]:
        intermediate = len(self.levels)
        blocks = architecture.blocks
        if architecture.stem != self.stem or len(blocks) != self.count:
            raise InputError(
                f'SpineNetSpace: {self.base} has the stem {self.stem} and {self.count} blocks, got '
                f'{architecture.stem} and {len(blocks)}'
            )
        levels = [block.level for block in blocks]
        choices: list[int] = []
        if self.fixed:
            if tuple(levels) != (*self.levels, *self.outputs):
                raise InputError(f'SpineNetSpace: {self.base} has the levels {(*self.levels, *self.outputs)}')
        else:
            items, shifts = self._match(levels[:intermediate])
            choices += items
            if sorted(levels[intermediate:]) != list(OUTPUT_LEVELS):
                raise InputError(f'SpineNetSpace: the outputs must be of {OUTPUT_LEVELS}, got {levels[intermediate:]}')
            choices += [OUTPUT_LEVELS.index(level) for level in levels[intermediate:]]
            if self.adjusts:
                choices += shifts
                choices += [KINDS.index(block.kind) for block in blocks]
        for block in blocks:
            choices += sorted(block.inputs)
        return self.check(choices)

    def _match(self, levels: Sequence[int]) -> tuple[list[int], list[int]]:
        """The base's block, and its level shift, that stands at each position. Matching both in the order of their
        levels finds shifts whenever there are any."""
        items, shifts = [0] * len(levels), [SHIFTS.index(0)] * len(levels)
        order = sorted(range(len(levels)), key=lambda position: (levels[position], position))
        for item, position in enumerate(order):
            items[position] = item
            possible = [0] if not self.adjusts else sorted(SHIFTS, key=abs)
            fitting = [shift for shift in possible if _clamp(self.levels[item] + shift) == levels[position]]
            if not fitting:
                raise InputError(f'SpineNetSpace: levels {list(levels)} cannot be made of {list(self.levels)}')
            shifts[position] = SHIFTS.index(fitting[0])
        return items, shifts

    def to_dict(self, architecture: ScalePermuted) -> dict:
        return self.graph(architecture).to_dict()

    def graph(self, architecture: ScalePermuted) -> FeatureGraph:
        return architecture.graph(prune=True)

    def apply(self, architecture: ScalePermuted, config: Config) -> None:
        backbone = config.model.backbone
        if backbone.get('type') != 'mmlight.SpineNet':
            raise InputError(f'SpineNetSpace: model.backbone must be a mmlight.SpineNet, got {backbone.get("type")!r}')
        backbone.stem = list(architecture.stem)
        backbone.blocks = [[b.level, b.kind, list(b.inputs), b.output] for b in architecture.blocks]


def _clamp(level: int) -> int:
    return min(max(level, 2), 7)
