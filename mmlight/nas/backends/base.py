"""What every backend is, and evaluation in this process."""

import json
import math
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mmlight.errors import InputError
from mmlight.nas.samplers.base import Choices
from mmlight.runtime.checkpoint import AtomicBackend

Objective = Callable[[Choices, Path], dict]
"""Choices and a folder for files to ``{'reward': ..., further metrics}``; it may raise :class:`Retry`."""


class Retry(Exception):
    """The infrastructure failed, not the network: the trial may be evaluated again."""


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        number: Of the trial.
        metrics: What the objective returned, ``reward`` among it; None where the infrastructure failed.
        error: Why there are no metrics, or why the reward is 0.
        worker: Where it ran.
    """

    number: int
    metrics: dict | None
    error: str = ''
    worker: str = ''
    seconds: float = field(default=0.0, compare=False)


def evaluate(objective: Objective, number: int, choices: Choices, work_dir: str | os.PathLike) -> dict:
    """Run the objective in the trial's folder and leave its result there, so that it is not lost if nobody waits for it
    any more. A NaN is a reward of 0.

    Returns:
        The metrics, or those of an earlier call that got this far.
    """
    folder = Path(work_dir) / 'trials' / f'{number:06d}'
    result = folder / 'result.json'
    if result.is_file():
        return json.loads(result.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    metrics = dict(objective(tuple(choices), folder))
    if not math.isfinite(metrics['reward']):
        metrics.update(reward=0.0, error='the reward is not finite')
    AtomicBackend().put(json.dumps(metrics).encode(), result)
    return metrics


def check_workers(workers: int | None) -> None:
    """Refuse what is neither None nor a number of workers."""
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise InputError(f'--workers: must be an integer of at least 1, got {workers!r}')


class Backend(ABC):
    """Evaluates trials.

    Attributes:
        capacity: Trials that run at once.
    """

    capacity: int = 1

    @abstractmethod
    def submit(self, number: int, choices: Choices) -> None:
        """Queue a trial."""

    @abstractmethod
    def poll(self, timeout: float) -> list[Outcome]:
        """Trials that have ended since the last call; waits up to ``timeout`` seconds for one."""

    def close(self) -> None:  # noqa: B027
        """Stop all work."""


class Inline(Backend):
    """One trial after another, in this process."""

    def __init__(self, objective: Objective, work_dir: str | os.PathLike):
        self.objective = objective
        self.work_dir = work_dir
        self.queue: deque[tuple[int, Choices]] = deque()

    def submit(self, number: int, choices: Choices) -> None:
        self.queue.append((number, choices))

    def poll(self, timeout: float) -> list[Outcome]:
        if not self.queue:
            return []
        number, choices = self.queue.popleft()
        try:
            metrics = evaluate(self.objective, number, choices, self.work_dir)
        except Retry as error:
            return [Outcome(number, None, str(error), 'inline')]
        return [Outcome(number, metrics, metrics.get('error', ''), 'inline')]
