"""What every sampler is, and random search."""

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from mmlight.errors import InputError
from mmlight.nas.spaces import DecisionSpace
from mmlight.registry import SAMPLERS

Choices = tuple[int, ...]


class Sampler(ABC):
    """Proposes choices and learns from rewards. What it proposes depends on its state and the seed alone, so that a
    search can be taken up again. Rewards come as trials end: in any order, some later than further proposals, some
    never.

    Args:
        space: The space; only its decisions, masks, mutation and keys are used.
    """

    def __init__(self, space: DecisionSpace):
        self.space = space
        self.known: set[str] = set()

    @abstractmethod
    def ask(self, count: int, seed: int) -> list[Choices]:
        """The next ``count`` choices."""

    @abstractmethod
    def tell(self, batch: Sequence[Choices], rewards: Sequence[float]) -> dict[str, float]:
        """Learn from rewards.

        Returns:
            What may be worth a line in the log, e.g. the entropy.
        """

    def new(self, draw: Callable[[], Choices], tries: int = 50) -> Choices | None:
        """The first of some draws that is a legal network which this method has not given yet."""
        for choices in (draw() for _ in range(tries)):
            try:
                key = self.space.key(choices)
            except InputError:
                continue
            if key not in self.known:
                self.known.add(key)
                return choices
        return None

    def new_or_any(self, rng: random.Random) -> Choices:
        """A random network, a new one unless the space seems to have no more."""
        return self.new(lambda: self.space.sample(rng)) or self.space.sample(rng)

    def state_dict(self) -> dict:
        """All that :meth:`ask` depends on, as tensors, numbers and lists."""
        return {'known': sorted(self.known)}

    def load_state_dict(self, state: dict) -> None:
        """Take up the state that :meth:`state_dict` gave."""
        self.known = set(state['known'])


@SAMPLERS.register_module()
class RandomSampler(Sampler):
    """Random search: every decision uniform over its legal choices, no network twice."""

    def ask(self, count: int, seed: int) -> list[Choices]:
        rng = random.Random(seed)
        return [self.new_or_any(rng) for _ in range(count)]

    def tell(self, batch: Sequence[Choices], rewards: Sequence[float]) -> dict[str, float]:
        return {}
