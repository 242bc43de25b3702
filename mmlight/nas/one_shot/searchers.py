"""Searchers: they know a space and a function that scores, no model and no data."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Path = tuple[int, ...]


@dataclass(frozen=True)
class BeamStep:
    """The state after a block: every extended candidate with its score, the best first; the beam is the first ones."""

    block: int
    scored: tuple[tuple[Path, float], ...]
    width: int

    @property
    def beam(self) -> tuple[tuple[Path, float], ...]:
        return self.scored[: self.width]


def evaluations(num_blocks: int, num_ops: int, width: int) -> int:
    """How often :func:`greedy_beam` calls its function."""
    total, beam = 0, 1
    for _ in range(num_blocks):
        total += beam * num_ops
        beam = min(width, beam * num_ops)
    return total


def greedy_beam(
    num_blocks: int, ops: Sequence[int], score: Callable[[Path], float], width: int = 3
) -> Iterator[BeamStep]:
    """Decide block after block, keeping the best ``width`` beginnings (arXiv 1912.11234, Sec. 3.3).

    Args:
        num_blocks: Decisions, from shallow to deep.
        ops: Choices of each.
        score: Of a beginning; it completes it itself. Higher is better.
        width: Beginnings that are kept.

    Yields:
        The state after each block; ties go to the smaller sum. After the last, ``beam[0][0]`` is the result.
    """
    beam: list[Path] = [()]
    for block in range(num_blocks):
        scored = [(path, score(path)) for path in ((*begun, op) for begun in beam for op in ops)]
        scored.sort(key=lambda item: (-item[1], sum(item[0]), item[0]))
        step = BeamStep(block, tuple(scored), width)
        yield step
        beam = [path for path, _ in step.beam]
