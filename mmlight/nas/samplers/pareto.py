"""Local search for two goals."""

import random
from collections.abc import Sequence

from mmlight import checks
from mmlight.nas.samplers.base import Choices, Sampler
from mmlight.nas.spaces import DecisionSpace
from mmlight.registry import SAMPLERS

TRIES = 20


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
        self.told: list[tuple[Choices, tuple[float, float] | None]] = []

    def ask(self, count: int, seed: int) -> list[Choices]:
        rng = random.Random(seed)
        batch: list[Choices] = []
        seen = {choices for choices, _ in self.told}
        known = [(choices, values) for choices, values in self.told if values is not None]
        front = [known[index][0] for index in pareto_front([values for _, values in known])]
        while len(batch) < count:
            number = len(self.told) + len(batch)
            if number < 2:
                choices = self.space.extremes()[number]
            elif number < self.initial or not front:
                choices = self.space.sample(rng)
            else:
                changed = [self.space.mutate(rng.choice(front), rng) for _ in range(TRIES)]
                choices = next((new for new in changed if new not in seen), self.space.sample(rng))
            seen.add(choices)
            batch.append(choices)
        return batch

    def tell(self, batch: Sequence[Choices], rewards: Sequence[float | Sequence[float]]) -> dict[str, float]:
        # an illegal or too large network has one value
        values = [(reward[0], reward[1]) if isinstance(reward, Sequence) else None for reward in rewards]
        self.told.extend(zip(map(tuple, batch), values, strict=True))
        return {}

    def state_dict(self) -> dict:
        return {'told': [[list(choices), values and list(values)] for choices, values in self.told]}

    def load_state_dict(self, state: dict) -> None:
        self.told = [(tuple(choices), values and tuple(values)) for choices, values in state['told']]
