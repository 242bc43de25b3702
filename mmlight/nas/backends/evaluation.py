"""Many trials on a backend, under one policy of failures."""

import re
import statistics
import time
from collections.abc import Iterable
from dataclasses import replace

from mmlight.errors import InputError
from mmlight.nas.backends.base import Backend, Outcome
from mmlight.nas.samplers.base import Choices

RETRIES = 1
"""Of a trial for which the infrastructure failed; a network's own failure is none to repeat."""
EQUAL_ERRORS = 8
"""Failures in a row with the same message, numbers apart, that end everything."""
SLOW, SLOW_FROM, SLOW_SECONDS = 10.0, 5, 60.0
"""A trial that takes so many times the median of at least so many others, and longer than so many seconds, hangs."""


class Evaluation:
    """Trials on a backend. Where the infrastructure fails, one is tried once more; one that hangs is such a failure.

    Args:
        backend: It.
        seconds: That earlier trials took.
    """

    def __init__(self, backend: Backend, seconds: Iterable[float] = ()):
        self.backend = backend
        self.seconds = list(seconds)
        self.running: dict[int, tuple[Choices, int, float]] = {}
        self.stopped: dict[int, str] = {}
        self.failures: list[str] = []

    @property
    def room(self) -> int:
        """Trials that could run besides those that do."""
        return self.backend.capacity - len(self.running)

    def submit(self, number: int, choices: Choices, tries: int = 1) -> None:
        """Start a trial."""
        self.running[number] = choices, tries, time.monotonic()
        self.backend.submit(number, choices)

    def poll(self, timeout: float) -> list[tuple[Outcome, float]]:
        """Trials that have ended for good, and the seconds that each took; waits up to ``timeout`` seconds for one."""
        ended = []
        for outcome in self.backend.poll(timeout):
            if outcome.number not in self.running:
                continue
            choices, tries, start = self.running.pop(outcome.number)
            error = self.stopped.pop(outcome.number, None)
            if error and outcome.metrics is None:
                outcome = replace(outcome, error=error)
            if outcome.metrics is None and outcome.retry and tries <= RETRIES:
                self.submit(outcome.number, choices, tries + 1)
                continue
            seconds = time.monotonic() - start
            if outcome.metrics is not None:
                self.seconds.append(seconds)
            ended.append((outcome, seconds))
        self._stop_hung()
        return ended

    def _stop_hung(self) -> None:
        if len(self.seconds) < SLOW_FROM:
            return
        limit = max(SLOW * statistics.median(self.seconds[-200:]), SLOW_SECONDS)
        now = time.monotonic()
        for number, (choices, tries, start) in self.running.items():
            if now - start <= limit or number in self.stopped:
                continue
            if self.backend.stop(number):
                self.stopped[number] = f'took longer than {limit:.0f} s, {SLOW:g} times the median'
            else:  # it waits for a worker: that is not its own time
                self.running[number] = choices, tries, now

    def count(self, outcome: Outcome) -> None:
        """Note a trial's end.

        Raises:
            InputError: with the message of the last :data:`EQUAL_ERRORS` trials, where it was the same.
        """
        if outcome.metrics is not None:
            self.failures.clear()
            return
        self.failures.append(outcome.error)
        alike = [re.sub(r'\d+', '0', error) for error in self.failures[-EQUAL_ERRORS:]]
        if len(alike) == EQUAL_ERRORS and len(set(alike)) == 1:
            raise InputError(f'{EQUAL_ERRORS} trials in a row could not be evaluated: {outcome.error}')
