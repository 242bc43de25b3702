"""Rewards that a sampler is judged by without any training: five small problems with a known optimum."""

import random
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mmlight.errors import InputError
from mmlight.tables import FeatureGraph
from mmlight.tables.builders import nas_fpn
from mmlight.tables.scale_permuted import SPINENET_49, ScalePermuted
from mmlight.nas.samplers import RandomSampler, RegularizedEvolution, RNNController
from mmlight.nas.samplers.base import Choices, Sampler
from mmlight.nas.spaces import Decision, DecisionSpace, NASFPNSpace, SpineNetSpace


class PlainSpace(DecisionSpace):
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


@dataclass(frozen=True)
class Benchmark:
    """A problem for samplers.

    Attributes:
        space: Its decisions.
        reward: In [0, 1], of choices.
        optimum: The best reward that there is.
        trials: How many it is run for.
        controller: What the best of the RNN controller must reach with every seed.
        evolution: What the best of regularised evolution must reach in the mean over seeds.
    """

    space: DecisionSpace
    reward: Callable[[Choices], float]
    optimum: float
    trials: int
    controller: float
    evolution: float


def match() -> Benchmark:
    """20 decisions of 8: the fraction that equals a hidden target."""
    rng = random.Random(123)
    target = [rng.randrange(8) for _ in range(20)]
    return Benchmark(PlainSpace(20, 8), lambda choices: _equal(choices, target), 1.0, 500, 0.95, 0.75)


def permutation() -> Benchmark:
    """A permutation of 10: the fraction of items in their places."""
    target = list(range(10))
    random.Random(5).shuffle(target)
    return Benchmark(
        PlainSpace(10, 10, permutation=True), lambda choices: _equal(choices, target), 1.0, 500, 0.95, 0.85
    )


def chain() -> Benchmark:
    """16 decisions of 6: the mean of a random table's values for neighbours."""
    rng = random.Random(7)
    table = [[[rng.random() for _ in range(6)] for _ in range(6)] for _ in range(15)]
    best = [0.0] * 6
    for step in reversed(table):
        best = [max(value + after for value, after in zip(row, best, strict=True)) for row in step]

    def reward(choices: Choices) -> float:
        return sum(table[t][choices[t]][choices[t + 1]] for t in range(15)) / 15

    return Benchmark(PlainSpace(16, 6), reward, max(best) / 15, 1000, 0.84, 0.84)


def nas_fpn_match() -> Benchmark:
    """NAS-FPN's space: how many inputs, levels and operations are those of the published graph."""
    space, target = NASFPNSpace(), nas_fpn()

    def reward(choices: Choices) -> float:
        found: FeatureGraph = space.decode(choices)
        return sum(
            0.5 * (set(a.inputs) == set(b.inputs)) + 0.25 * (a.level == b.level) + 0.25 * (a.merge == b.merge)
            for a, b in zip(found.nodes, target.nodes, strict=True)
        ) / len(target.nodes)

    return Benchmark(space, reward, 1.0, 1000, 0.78, 0.78)


def spinenet_match() -> Benchmark:
    """SpineNet's space: how many parents, levels and types are those of SpineNet-49."""
    space = SpineNetSpace()

    def reward(choices: Choices) -> float:
        found: ScalePermuted = space.decode(choices)
        return sum(
            0.5 * (set(a.inputs) == set(b.inputs)) + 0.25 * (a.level == b.level) + 0.25 * (a.kind == b.kind)
            for a, b in zip(found.blocks, SPINENET_49.blocks, strict=True)
        ) / len(SPINENET_49.blocks)

    return Benchmark(space, reward, 1.0, 1000, 0.80, 0.70)


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


@dataclass(frozen=True)
class Row:
    """Best rewards of a sampler on a benchmark, one for each seed."""

    benchmark: str
    sampler: str
    trials: int
    threshold: float | None
    optimum: float
    best: tuple[float, ...]
    reached: float
    random: tuple[float, ...]

    @property
    def passed(self) -> bool:
        """Whether the threshold is reached, and every seed is above all of random search."""
        return self.threshold is None or (self.reached >= self.threshold and min(self.best) > max(self.random))


def compare(names: Sequence[str] = (), seeds: Sequence[int] = range(5)) -> Iterable[Row]:
    """Random search, the RNN controller and regularised evolution at equal trials.

    Args:
        names: Of :data:`BENCHMARKS`; none for all.
        seeds: One run each.

    Raises:
        InputError: for an unknown name.
    """
    if unknown := [name for name in names if name not in BENCHMARKS]:
        raise InputError(f'benchmarks: must be of {", ".join(BENCHMARKS)}, got {unknown[0]!r}')

    def rows(name: str) -> Iterable[Row]:
        benchmark, found = BENCHMARKS[name](), {}
        for sampler, make, threshold in (
            ('random search', lambda seed: RandomSampler(benchmark.space), None),
            ('RNN controller', lambda seed: RNNController(benchmark.space, seed=seed), benchmark.controller),
            ('evolution', lambda seed: RegularizedEvolution(benchmark.space), benchmark.evolution),
        ):
            best = tuple(max(run(benchmark, make(seed), benchmark.trials, seed)) for seed in seeds)
            found.setdefault('random', best)
            reached = min(best) if sampler == 'RNN controller' else statistics.mean(best)
            yield Row(name, sampler, benchmark.trials, threshold, benchmark.optimum, best, reached, found['random'])

    return (row for name in names or BENCHMARKS for row in rows(name))


def markdown(rows: Iterable[Row]) -> Iterable[str]:
    """Lines of a table: mean and worst over the seeds."""
    yield '| benchmark | trials | optimum | sampler | mean of the best | worst seed | threshold | passed |'
    yield '|---|---|---|---|---|---|---|---|'
    for row in rows:
        mean = statistics.mean(row.best)
        threshold, passed = ('', '') if row.threshold is None else (row.threshold, 'yes' if row.passed else 'no')
        yield (
            f'| {row.benchmark} | {row.trials} | {row.optimum:.3f} | {row.sampler} | {mean:.3f} | {min(row.best):.3f} '
            f'| {threshold} | {passed} |'
        )
