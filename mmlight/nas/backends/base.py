"""What every backend is, and evaluation in this process."""

import json
import math
import os
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mmlight.errors import InputError
from mmlight.nas.samplers.base import Choices
from mmlight.runtime.checkpoint import AtomicBackend
from mmlight.runtime.config import one_line

Objective = Callable[[Choices, Path], dict]
"""Choices and a folder for files to ``{'reward': ..., further metrics}``. It may raise: :class:`Retry` where the
infrastructure failed, ``InputError`` where no network could be evaluated, all else is the network's own failure."""


class Retry(Exception):
    """The infrastructure failed, not the network: the trial may be evaluated again."""


@dataclass(frozen=True)
class Outcome:
    """What became of a trial.

    Attributes:
        number: Of the trial.
        metrics: What the objective returned, ``reward`` among it; None for a failure.
        error: Why there are no metrics, or why the reward is 0.
        worker: Where it ran.
        retry: Whether the infrastructure failed, not the network.
    """

    number: int
    metrics: dict | None
    error: str = ''
    worker: str = ''
    retry: bool = False


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


def attempt(objective: Objective, number: int, choices: Choices, work_dir: str | os.PathLike) -> tuple:
    """The fields of an :class:`Outcome`, without its worker and ``retry`` first: ``(number, metrics, error, retry)``.

    Raises:
        InputError: the objective's.
    """
    try:
        metrics = evaluate(objective, number, choices, work_dir)
    except (Retry, OSError) as error:  # a full disk is not the network's fault either
        return number, None, one_line(error), True
    except InputError:
        raise
    except Exception as error:
        return number, None, f'{type(error).__name__}: {one_line(error)}', False
    return number, metrics, metrics.get('error', ''), False


def check_workers(workers: int | None) -> None:
    """Refuse what is neither None nor a number of workers."""
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise InputError(f'--workers: must be an integer of at least 1, got {workers!r}')


class Backend(ABC):
    """Evaluates trials.

    Attributes:
        capacity: Trials that run at once; it may change.
    """

    capacity: int = 1

    @abstractmethod
    def submit(self, number: int, choices: Choices) -> None:
        """Start a trial, or queue it where all workers are taken."""

    @abstractmethod
    def poll(self, timeout: float) -> list[Outcome]:
        """Trials that have ended since the last call; waits up to ``timeout`` seconds for one."""

    def stop(self, number: int) -> bool:
        """End a trial by force; it is then reported as a failure. False where it cannot be, or waits for a worker."""
        return False

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
        number, metrics, error, retry = attempt(self.objective, *self.queue.popleft(), self.work_dir)
        return [Outcome(number, metrics, error, 'inline', retry)]
