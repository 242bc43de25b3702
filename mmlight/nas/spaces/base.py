"""What every search space is: an ordered list of categorical decisions, and the table that they describe."""

import hashlib
import json
import os
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from mmlight.errors import InputError
from mmlight.tables import FeatureGraph, draw


@dataclass(frozen=True)
class Decision:
    """One categorical decision.

    Attributes:
        name: What it decides, for logs.
        size: Number of choices, the illegal ones included.
        anchors: For a choice among earlier features: for each, the decision that completed it (None for an input).
            A controller with pointers represents the choice by its state there.
    """

    name: str
    size: int
    anchors: tuple[int | None, ...] | None = None


class DecisionSpace(ABC):
    """Decisions, which of them are legal, and what they mean: all that samplers and the driver need.

    Attributes:
        decisions: In their order.
        size: How many networks the space holds, as the paper counts them.
    """

    decisions: tuple[Decision, ...]
    size: int

    def mask(self, prefix: Sequence[int]) -> list[bool]:
        """Which choices of the next decision are legal after ``prefix``; at least one is."""
        return [True] * self.decisions[len(prefix)].size

    @abstractmethod
    def decode(self, choices: Sequence[int]) -> Any:
        """The table that the choices describe.

        Raises:
            InputError: for a wrong number of choices, an illegal one, or a table that cannot be built.
        """

    @abstractmethod
    def encode(self, architecture: Any) -> tuple[int, ...]:
        """Choices that describe the table; the inverse of :meth:`decode` up to symmetries.

        Raises:
            InputError: for a table outside of the space.
        """

    @abstractmethod
    def to_dict(self, architecture: Any) -> dict:
        """The table as plain dicts and lists, equal for equal networks."""

    def check(self, choices: Sequence[int]) -> tuple[int, ...]:
        """The choices as a tuple.

        Raises:
            InputError: naming the first choice that is missing or illegal.
        """
        name = type(self).__name__
        if len(choices) != len(self.decisions):
            raise InputError(f'{name}: needs {len(self.decisions)} decisions, got {len(choices)}')
        for step, (decision, choice) in enumerate(zip(self.decisions, choices, strict=True)):
            legal = [i for i, fits in enumerate(self.mask(choices[:step])) if fits]
            if choice not in legal:
                raise InputError(f'{name}: decision {step} ({decision.name}) must be one of {legal}, got {choice!r}')
        return tuple(int(choice) for choice in choices)

    def sample(self, rng: random.Random) -> tuple[int, ...]:
        """Choices, each uniform over the legal ones."""
        choices: list[int] = []
        while len(choices) < len(self.decisions):
            choices.append(rng.choice([i for i, fits in enumerate(self.mask(choices)) if fits]))
        return tuple(choices)

    def extremes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The first and the last legal choice of every decision: where choices ascend the smallest and the largest
        network."""
        first: list[int] = []
        last: list[int] = []
        for choices, end in ((first, 0), (last, -1)):
            while len(choices) < len(self.decisions):
                choices.append([i for i, fits in enumerate(self.mask(choices)) if fits][end])
        return tuple(first), tuple(last)

    def mutate(self, parent: Sequence[int], rng: random.Random) -> tuple[int, ...]:
        """One decision changed. Later ones stay where they are legal; where not, the displaced choice is taken if it
        is (which swaps two items of a permutation), else a random one."""
        steps = list(range(len(parent)))
        while steps:
            step = steps.pop(rng.randrange(len(steps)))
            others = [i for i, fits in enumerate(self.mask(parent[:step])) if fits and i != parent[step]]
            if others:
                break
        else:
            return tuple(parent)
        child = [*parent[:step], rng.choice(others)]
        for later in range(step + 1, len(parent)):
            legal = self.mask(child)
            if legal[parent[later]]:
                choice = parent[later]
            elif parent[step] < len(legal) and legal[parent[step]]:
                choice = parent[step]
            else:
                choice = rng.choice([i for i, fits in enumerate(legal) if fits])
            child.append(choice)
        return tuple(child)

    def key(self, choices: Sequence[int]) -> str:
        """The same for choices that describe the same network."""
        content = json.dumps(self.to_dict(self.decode(choices)), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


class SearchSpace(DecisionSpace):
    """A space of networks, which a config's model can take.

    Attributes:
        part: Of the model that takes them.
        merges: Of the nodes of its graphs.
    """

    part: str = 'backbone'
    merges: Sequence[str] = ()

    @abstractmethod
    def apply(self, architecture: Any, config: Config) -> None:
        """Write the table into a config whose model is of the right kind.

        Raises:
            InputError: for a config whose model the table does not fit.
        """

    def graph(self, architecture: Any) -> FeatureGraph | None:
        """The table as a feature graph; None where it is not of that kind."""
        return architecture if isinstance(architecture, FeatureGraph) else None

    def draw(self, networks: Mapping[str, Any], path: str | os.PathLike) -> bool:
        """Write a picture of networks (title to table); False where the space has none."""
        found = {title: self.graph(network) for title, network in networks.items()}
        graphs = {title: graph for title, graph in found.items() if graph is not None}
        if not graphs or len(graphs) < len(found):
            return False
        draw(graphs, path, per_row=3)
        return True
