"""Regularised evolution (Real et al., arXiv 1802.01548)."""

import random
from collections import deque
from collections.abc import Sequence

from mmlight.errors import InputError
from mmlight.nas.samplers.base import Choices, Sampler
from mmlight.nas.spaces import DecisionSpace
from mmlight.registry import SAMPLERS


@SAMPLERS.register_module()
class RegularizedEvolution(Sampler):
    """Tournament selection, one mutated decision a child, the oldest dies. Children are networks that were not before.

    Args:
        space: The space.
        population: Members alive; the first ones are random.
        tournament: Members among which the best becomes the parent.
    """

    def __init__(self, space: DecisionSpace, population: int = 50, tournament: int = 10):
        super().__init__(space)
        integers = isinstance(population, int) and isinstance(tournament, int)
        if not integers or not 1 <= tournament <= population:
            raise InputError(
                f'RegularizedEvolution: tournament must be between 1 and the population, {population!r}, '
                f'got {tournament!r}'
            )
        self.population = population
        self.tournament = tournament
        self.members: deque[tuple[Choices, float]] = deque(maxlen=population)
        self.asked = 0

    def ask(self, count: int, seed: int) -> list[Choices]:
        rng = random.Random(seed)
        return [self._next(rng) for _ in range(count)]

    def _next(self, rng: random.Random) -> Choices:
        self.asked += 1
        if self.members and max(self.asked - 1, len(self.members)) >= self.population:
            rivals = rng.sample(list(self.members), min(self.tournament, len(self.members)))
            parent = max(rivals, key=lambda member: member[1])[0]
            if found := self.new(lambda: self.space.mutate(parent, rng)):
                return found
        return self.new_or_any(rng)

    def tell(self, batch: Sequence[Choices], rewards: Sequence[float]) -> dict[str, float]:
        self.members.extend(zip(map(tuple, batch), map(float, rewards), strict=True))
        return {}

    def state_dict(self) -> dict:
        return {
            **super().state_dict(),
            'asked': self.asked,
            'members': [[list(choices), reward] for choices, reward in self.members],
        }

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.asked = state['asked']
        self.members = deque(((tuple(choices), reward) for choices, reward in state['members']), maxlen=self.population)
