"""What every sampler is, and random search."""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence

from mmlight.nas.spaces import DecisionSpace
from mmlight.registry import SAMPLERS

Choices = tuple[int, ...]


class Sampler(ABC):
    """Proposes choices batch by batch. What it proposes depends on its state and the seed of the batch alone, so that a
    search can be taken up again.

    Args:
        space: The space; only its decisions and masks are used.
    """

    def __init__(self, space: DecisionSpace):
        self.space = space

    @abstractmethod
    def ask(self, count: int, seed: int) -> list[Choices]:
        """The next ``count`` choices."""

    @abstractmethod
    def tell(self, batch: Sequence[Choices], rewards: Sequence[float]) -> dict[str, float]:
        """Learn from the rewards of a batch, in the order in which it was asked for.

        Returns:
            What may be worth a line in the log, e.g. the entropy.
        """

    def state_dict(self) -> dict:
        """All that :meth:`ask` depends on, as tensors, numbers and lists."""
        return {}

    def load_state_dict(self, state: dict) -> None:  # noqa: B027
        """Take up the state that :meth:`state_dict` gave."""


@SAMPLERS.register_module()
class RandomSampler(Sampler):
    """Random search: every decision uniform over its legal choices."""

    def ask(self, count: int, seed: int) -> list[Choices]:
        rng = random.Random(seed)
        return [self.space.sample(rng) for _ in range(count)]

    def tell(self, batch: Sequence[Choices], rewards: Sequence[float]) -> dict[str, float]:
        return {}
