"""Local search for two goals."""

import random
from collections.abc import Sequence
from functools import partial

from mmlight import checks
from mmlight.nas.samplers.base import Choices, Sampler
from mmlight.nas.spaces import DecisionSpace
from mmlight.registry import SAMPLERS


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which of the points ``(value, cost)`` no other one beats: the cheapest first, of equal ones the first."""
    front: list[int] = []
    for index in sorted(range(len(points)), key=lambda i: (points[i][1], -points[i][0], i)):
        if not front or points[index][0] > points[front[-1]][0]:
            front.append(index)
    return front


@SAMPLERS.register_module()
class ParetoLocalSearch(Sampler):
    """One decision of a network on the front of those evaluated so far is changed; the first networks are the space's
    extremes and random ones.

    Args:
        space: The space.
        initial: Networks before the first change.
    """

    directions = ('maximize', 'minimize')

    def __init__(self, space: DecisionSpace, initial: int = 16):
        super().__init__(space)
        checks.positive_int('ParetoLocalSearch', initial=initial)
        self.initial = initial
        self.asked = 0
        self.told: list[tuple[Choices, tuple[float, float] | None]] = []

    def ask(self, count: int, seed: int) -> list[Choices]:
        rng = random.Random(seed)
        known = [(choices, values) for choices, values in self.told if values is not None]
        front = [known[index][0] for index in pareto_front([values for _, values in known])]
        return [self._next(front, rng) for _ in range(count)]

    def _next(self, front: Sequence[Choices], rng: random.Random) -> Choices:
        self.asked += 1
        if self.asked <= 2:
            return self.new(partial(self.space.extremes().__getitem__, self.asked - 1)) or self.new_or_any(rng)
        if self.asked <= self.initial or not front:
            return self.new_or_any(rng)
        return self.new(lambda: self.space.mutate(rng.choice(front), rng)) or self.new_or_any(rng)

    def tell(self, batch: Sequence[Choices], rewards: Sequence[float | Sequence[float]]) -> dict[str, float]:
        # an illegal or too large network has one value
        values = [(reward[0], reward[1]) if isinstance(reward, Sequence) else None for reward in rewards]
        self.told.extend(zip(map(tuple, batch), values, strict=True))
        return {}

    def state_dict(self) -> dict:
        told = [[list(choices), values and list(values)] for choices, values in self.told]
        return {**super().state_dict(), 'asked': self.asked, 'told': told}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.asked = state['asked']
        self.told = [(tuple(choices), values and tuple(values)) for choices, values in state['told']]
