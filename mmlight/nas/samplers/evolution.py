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
    """Tournament selection, one mutated decision a child, the oldest dies.

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

    def ask(self, count: int, seed: int) -> list[Choices]:
        rng = random.Random(seed)
        batch: list[Choices] = []
        for _ in range(count):
            if len(self.members) + len(batch) < self.population or not self.members:
                batch.append(self.space.sample(rng))
                continue
            rivals = rng.sample(list(self.members), min(self.tournament, len(self.members)))
            batch.append(self.space.mutate(max(rivals, key=lambda member: member[1])[0], rng))
        return batch

    def tell(self, batch: Sequence[Choices], rewards: Sequence[float]) -> dict[str, float]:
        self.members.extend(zip(map(tuple, batch), map(float, rewards), strict=True))
        return {}

    def state_dict(self) -> dict:
        return {'members': [[list(choices), reward] for choices, reward in self.members]}

    def load_state_dict(self, state: dict) -> None:
        self.members = deque(((tuple(choices), reward) for choices, reward in state['members']), maxlen=self.population)
