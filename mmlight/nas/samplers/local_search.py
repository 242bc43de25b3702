"""Local search, the strongest simple sampler on small budgets (White et al., arXiv 2005.02960)."""

import random
from collections.abc import Sequence
from functools import partial

from mmlight import checks
from mmlight.nas.samplers.base import Choices, Sampler
from mmlight.nas.spaces import DecisionSpace
from mmlight.registry import SAMPLERS


@SAMPLERS.register_module()
class LocalSearch(Sampler):
    """New neighbours, by the space's mutation, of the best networks; where the best one has no more, of the next.

    Args:
        space: The space.
        start: Random networks to begin with.
        parents: A neighbour is one of a random one of so many best networks.
    """

    def __init__(self, space: DecisionSpace, start: int = 20, parents: int = 3):
        super().__init__(space)
        checks.positive_int('LocalSearch', start=start, parents=parents)
        self.start, self.parents = start, parents
        self.asked = 0
        self.open: list[tuple[Choices, float]] = []

    def ask(self, count: int, seed: int) -> list[Choices]:
        rng = random.Random(seed)
        return [self._next(rng) for _ in range(count)]

    def _next(self, rng: random.Random) -> Choices:
        self.asked += 1
        while self.asked > self.start and self.open:
            parent = rng.choice(self.open[: self.parents])
            found = self.new(partial(self.space.mutate, parent[0], rng))
            if found is not None:
                return found
            self.open.remove(parent)
        return self.new_or_any(rng)

    def tell(self, batch: Sequence[Choices], rewards: Sequence[float]) -> dict[str, float]:
        self.open += zip(map(tuple, batch), map(float, rewards), strict=True)
        self.open.sort(key=lambda network: -network[1])
        return {}

    def state_dict(self) -> dict:
        return {**super().state_dict(), 'asked': self.asked, 'open': [[list(c), reward] for c, reward in self.open]}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.asked = state['asked']
        self.open = [(tuple(choices), reward) for choices, reward in state['open']]
