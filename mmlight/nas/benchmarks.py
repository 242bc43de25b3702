"""Rewards that a sampler is judged by without any training: five small problems with a known optimum."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmlight.graphs import FeatureGraph
from mmlight.graphs.builders import nas_fpn
from mmlight.graphs.scale_permuted import SPINENET_49, ScalePermuted
from mmlight.nas.samplers.base import Choices, Sampler
from mmlight.nas.spaces import Decision, NASFPNSpace, SearchSpace, SpineNetSpace


class PlainSpace(SearchSpace):
    """Decisions without a meaning: ``length`` of them with ``size`` choices each.

    Args:
        length: Number of decisions.
        size: Choices of each.
        permutation: No choice may be taken twice.
    """

    def __init__(self, length: int, size: int, permutation: bool = False):
        self.decisions = tuple(Decision(f'decision {i}', size) for i in range(length))
        self.size = size**length
        self.permutation = permutation

    def mask(self, prefix: Sequence[int]) -> list[bool]:
        legal = super().mask(prefix)
        for used in prefix if self.permutation else ():
            legal[used] = False
        return legal

    def decode(self, choices: Sequence[int]) -> Choices:
        return self.check(choices)

    def encode(self, architecture: Choices) -> Choices:
        return self.check(architecture)

    def to_dict(self, architecture: Choices) -> dict:
        return {'choices': list(architecture)}

    def apply(self, architecture: Choices, config) -> None:
        raise NotImplementedError('a benchmark is no network')


@dataclass(frozen=True)
class Benchmark:
    """A space, a reward in [0, 1] of its choices, the best reward there is, and how many trials it is run for."""

    space: SearchSpace
    reward: Callable[[Choices], float]
    optimum: float
    trials: int


def match() -> Benchmark:
    """20 decisions of 8: the fraction that equals a hidden target."""
    rng = random.Random(123)
    target = [rng.randrange(8) for _ in range(20)]
    return Benchmark(PlainSpace(20, 8), lambda choices: _equal(choices, target), 1.0, 500)


def permutation() -> Benchmark:
    """A permutation of 10: the fraction of items in their places."""
    target = list(range(10))
    random.Random(5).shuffle(target)
    return Benchmark(PlainSpace(10, 10, permutation=True), lambda choices: _equal(choices, target), 1.0, 500)


def chain() -> Benchmark:
    """16 decisions of 6: the mean of a random table's values for neighbours."""
    rng = random.Random(7)
    table = [[[rng.random() for _ in range(6)] for _ in range(6)] for _ in range(15)]
    best = [0.0] * 6
    for step in reversed(table):
        best = [max(value + after for value, after in zip(row, best, strict=True)) for row in step]

    def reward(choices: Choices) -> float:
        return sum(table[t][choices[t]][choices[t + 1]] for t in range(15)) / 15

    return Benchmark(PlainSpace(16, 6), reward, max(best) / 15, 1000)


def nas_fpn_match() -> Benchmark:
    """NAS-FPN's space: how many inputs, levels and operations are those of the published graph."""
    space, target = NASFPNSpace(), nas_fpn()

    def reward(choices: Choices) -> float:
        found: FeatureGraph = space.decode(choices)
        return sum(
            0.5 * (set(a.inputs) == set(b.inputs)) + 0.25 * (a.level == b.level) + 0.25 * (a.merge == b.merge)
            for a, b in zip(found.nodes, target.nodes, strict=True)
        ) / len(target.nodes)

    return Benchmark(space, reward, 1.0, 1000)


def spinenet_match() -> Benchmark:
    """SpineNet's space: how many parents, levels and types are those of SpineNet-49."""
    space = SpineNetSpace()

    def reward(choices: Choices) -> float:
        found: ScalePermuted = space.decode(choices)
        return sum(
            0.5 * (set(a.inputs) == set(b.inputs)) + 0.25 * (a.level == b.level) + 0.25 * (a.kind == b.kind)
            for a, b in zip(found.blocks, SPINENET_49.blocks, strict=True)
        ) / len(SPINENET_49.blocks)

    return Benchmark(space, reward, 1.0, 1000)


BENCHMARKS: dict[str, Callable[[], Benchmark]] = {
    'match': match,
    'perm': permutation,
    'chain': chain,
    'nasfpn-match': nas_fpn_match,
    'spinenet-match': spinenet_match,
}


def _equal(choices: Sequence[int], target: Sequence[int]) -> float:
    return sum(a == b for a, b in zip(choices, target, strict=True)) / len(target)


def run(benchmark: Benchmark, sampler: Sampler, trials: int, seed: int, batch: int = 20) -> list[float]:
    """Rewards of ``trials`` networks in their order."""
    rewards: list[float] = []
    while len(rewards) < trials:
        asked = sampler.ask(min(batch, trials - len(rewards)), seed * 1_000_003 + len(rewards))
        values = [benchmark.reward(choices) for choices in asked]
        sampler.tell(asked, values)
        rewards += values
    return rewards
