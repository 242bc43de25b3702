"""The driver of a search: asks the sampler, has trials evaluated, tells the sampler; it can be resumed at any point."""

import hashlib
import io
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmlight import checks
from mmlight.errors import InputError
from mmlight.nas.backends import Backend, Evaluation, Outcome
from mmlight.nas.log import TrialLog
from mmlight.nas.samplers import Sampler
from mmlight.nas.samplers.base import Choices
from mmlight.nas.spaces import DecisionSpace
from mmlight.runtime.checkpoint import AtomicBackend, load

KEPT_CHECKPOINTS = 3
ENGINE = 2
"""Logs of a search that went generation by generation (1) cannot be gone on with."""


@dataclass
class Trial:
    """One proposed network.

    Attributes:
        number: Counted over the whole search.
        choices: The decisions.
        key: Of the network; None for an illegal one.
        reward: None for a trial that still runs or was dropped.
        metrics: What the objective reported, a dict; None like ``reward``.
        source: The trial whose result it has: its own number where it was evaluated.
    """

    number: int
    choices: Choices
    key: str | None
    reward: float | None = None
    metrics: Any = None
    source: int | None = None

    def take(self, event: dict) -> None:
        """Its own result, as the log has it; a failure is no evaluation."""
        if event['event'] == 'failed':
            self.reward, self.metrics = 0.0, {'error': event['error']}
        else:
            self.metrics = event['metrics']
            self.reward, self.source = float(self.metrics['reward']), self.number

    def repeat(self, first: 'Trial') -> None:
        """The result of an earlier trial of the same network."""
        self.reward, self.metrics, self.source = first.reward, first.metrics, first.source

    @property
    def told(self) -> Any:
        """What the sampler is told: the reward, or where the objective has several values those."""
        return (self.metrics or {}).get('values', self.reward)


@dataclass(frozen=True)
class Progress:
    """Where a search stands after a generation."""

    generation: int
    samples: int
    evaluated: int
    trials: int
    best: float | None
    mean: float | None
    seconds_left: float


class SearchDriver:
    """A sliding window: where a worker is free, the sampler is asked for the next network, with a seed that follows
    from ``(seed, number)``; it is told each reward as it comes.

    The log says in which order that happened, so a search that was killed goes on in the same state. With one worker
    it equals one that was not killed, network by network; with more, the order in which trials end is the machine's.

    A network that was evaluated before has its old reward: it teaches the sampler, but does not count as a trial. An
    illegal one has the reward 0, and one whose evaluation fails. Where the infrastructure fails, a trial is tried once
    again, then left out. What ends a search: :class:`mmlight.nas.backends.Evaluation`.

    Args:
        space, sampler, backend: The parts.
        work_dir: For the log, the sampler's checkpoints and the trials' folders.
        trials: Networks to evaluate.
        batch_size: Networks of a generation: of a line of progress, an entry of the log and a checkpoint.
        seed: Of the search.
        max_samples: The search also ends when so many networks were sampled; default ten times ``trials``.
        identity: Further entries of the log's header, which a resumed search must share.
        watch: Called after each generation.
        on_trial: Called with each trial that was evaluated, as they come.

    Raises:
        InputError: for numbers below 1, and for a ``work_dir`` of another search or with parts of one.
    """

    def __init__(  # noqa: PLR0913 (the parts of a search and its budget)
        self,
        space: DecisionSpace,
        sampler: Sampler,
        backend: Backend,
        work_dir: str | os.PathLike,
        trials: int,
        batch_size: int = 20,
        seed: int = 0,
        max_samples: int | None = None,
        identity: dict | None = None,
        watch: Callable[[Progress], None] | None = None,
        on_trial: Callable[[Trial], None] | None = None,
    ):
        checks.positive_int('search', trials=trials, batch_size=batch_size)
        if max_samples is not None:
            checks.positive_int('search', max_samples=max_samples)
        self.space, self.sampler, self.backend = space, sampler, backend
        self.work_dir = Path(work_dir)
        self.trials, self.batch_size, self.seed = trials, batch_size, seed
        self.max_samples = 10 * trials if max_samples is None else max_samples
        self.watch, self.on_trial = watch, on_trial
        header = {
            'engine': ENGINE,
            'space': type(space).__name__,
            'decisions': [decision.size for decision in space.decisions],
            'sampler': type(sampler).__name__,
            'seed': seed,
            'batch_size': batch_size,
            **(identity or {}),
        }
        path = self.work_dir / 'trials.jsonl'
        left = sorted(self.work_dir.glob('sampler_*.pth')) + sorted(self.work_dir.glob('trials'))
        if left and not path.exists():  # they would be taken for this search's
            raise InputError(f'--work-dir {self.work_dir}: holds {left[0].name} of a search whose log is gone; '
                             'use another folder, or empty it')  # fmt: skip
        self.log = TrialLog(path, header)
        self.history: list[Trial] = []
        self.results: dict[str, Trial] = {}  # by key, failed ones too
        self.flying: dict[str, list[Trial]] = {}  # by key: the one that runs, and later proposals of its network
        self.evaluated = 0
        self.best: Trial | None = None  # the first evaluated one with the highest reward
        self.told: list[float] = []  # rewards of this generation
        self.generation = 0
        self.facts: dict[str, float] = {}
        self.muted = False  # replaying what the sampler's checkpoint holds already
        self.failed_from: int | None = None  # length of the log before the failures in a row

    def run(self) -> list[Trial]:
        """The whole search, or what is left of it.

        Returns:
            All trials, in the order in which they were sampled.
        """
        self._restore()
        evaluation = Evaluation(self.backend, [event['seconds'] for event in self.log.of('done')])
        start, before = time.monotonic(), self.evaluated
        self.pace: Callable[[], float] = lambda: (time.monotonic() - start) / max(self.evaluated - before, 1)
        try:
            self._evaluate(evaluation)
        except InputError:
            self._forget_failures()
            raise
        if self.told:
            self._finish_generation()
        return self.history

    def _evaluate(self, evaluation: Evaluation) -> None:
        try:
            for trials in self.flying.values():
                evaluation.submit(trials[0].number, trials[0].choices)
            while True:
                while evaluation.room > 0 and self._wants_more():
                    if (trial := self._ask()) is not None:
                        evaluation.submit(trial.number, trial.choices)
                if not evaluation.running:
                    return
                for outcome, seconds in evaluation.poll(1.0):
                    self._ended(outcome, seconds)
                    evaluation.count(outcome)
        finally:
            self.backend.close()

    def _wants_more(self) -> bool:
        return self.evaluated + len(self.flying) < self.trials and len(self.history) < self.max_samples

    def _ask(self) -> Trial | None:
        """The next network; None where there is nothing to evaluate."""
        trial = self._propose(self.sampler.ask(1, self._seed(len(self.history)))[0])
        self.log.append({'event': 'issued', 'trial': trial.number, 'generation': self.generation,
                         'choices': list(trial.choices), 'key': trial.key})  # fmt: skip
        return self._enter(trial)

    def _seed(self, number: int) -> int:
        return int.from_bytes(hashlib.sha256(f'{self.seed} {number}'.encode()).digest()[:7])

    def _propose(self, choices: Choices) -> Trial:
        try:
            key = self.space.key(choices)
        except InputError:
            key = None
        return Trial(len(self.history), choices, key)

    def _enter(self, trial: Trial) -> Trial | None:
        self.history.append(trial)
        if trial.key is None:
            trial.reward, trial.metrics = 0.0, {'error': 'illegal'}
        elif trial.key in self.results:
            trial.repeat(self.results[trial.key])
        else:
            self.flying.setdefault(trial.key, []).append(trial)
            return trial if len(self.flying[trial.key]) == 1 else None
        self._tell([trial])
        return None

    def _ended(self, outcome: Outcome, seconds: float) -> None:
        event = {'event': 'done', 'trial': outcome.number, 'seconds': round(seconds, 3), 'worker': outcome.worker,
                 'time': time.time()}  # fmt: skip
        if outcome.metrics is not None:
            event['metrics'], self.failed_from = outcome.metrics, None
        else:
            event |= {'event': 'dropped' if outcome.retry else 'failed', 'error': outcome.error}
            if self.failed_from is None:
                self.failed_from = len(self.log.events)
        self.log.append(event)
        self._end(event)
        trial = self.history[outcome.number]
        if self.on_trial is not None and trial.source is not None:
            self.on_trial(trial)

    def _end(self, event: dict) -> None:
        trials = self.flying.pop(self.history[event['trial']].key)
        if event['event'] == 'dropped':  # nothing is known of the network
            return
        first = trials[0]
        first.take(event)
        assert first.key is not None  # an illegal network is not evaluated
        self.results[first.key] = first
        if first.source is not None:
            self.evaluated += 1
            if self.best is None or (first.reward or 0.0) > (self.best.reward or 0.0):
                self.best = first
        for trial in trials[1:]:
            trial.repeat(first)
        self._tell(trials)

    def _tell(self, trials: list[Trial]) -> None:
        if not self.muted:
            self.facts |= self.sampler.tell([t.choices for t in trials], [t.told for t in trials])
        self.told += [trial.reward or 0.0 for trial in trials]
        if len(self.told) >= self.batch_size:
            self._finish_generation()

    def _finish_generation(self) -> None:
        rewards, self.told = self.told, []
        number, self.generation = self.generation, self.generation + 1
        if self.muted or number in {event['generation'] for event in self.log.of('generation')}:
            return
        # before the checkpoint: with that the generation is over, and would never be logged after a kill
        mean, best = sum(rewards) / len(rewards), self.best.reward if self.best else None
        self.log.append({'event': 'generation', 'generation': number, 'mean': mean, 'best': best,
                         'unique': self.evaluated, 'sampled': len(self.history), **self.facts})  # fmt: skip
        content = io.BytesIO()
        torch.save({'sampler': self.sampler.state_dict()}, content)
        AtomicBackend().put(content.getvalue(), self.work_dir / f'sampler_{len(self.log.events):06d}.pth')
        for path in self._checkpoints()[:-KEPT_CHECKPOINTS]:
            path.unlink()
        if self.watch is not None:
            left = self.pace() * max(self.trials - self.evaluated, 0)
            self.watch(Progress(number + 1, len(self.history), self.evaluated, self.trials, best, mean, left))

    def _checkpoints(self) -> list[Path]:
        return sorted(self.work_dir.glob('sampler_*.pth'))

    def _restore(self) -> None:
        """The state after the last line of the log: the sampler's last checkpoint, then what was asked and told since.
        A checkpoint's name is the length of the log that it has learnt from."""
        self.pace = lambda: 0.0
        known, checkpoints = len(self.log.events), self._checkpoints()
        learnt = int(checkpoints[-1].stem.partition('_')[2]) if checkpoints else 0
        if learnt > known:
            raise InputError(
                f'--resume: {self.log.path} has {known} lines, the sampler in {checkpoints[-1].name} has learnt from '
                f'{learnt}: lines of the log are missing'
            )
        if checkpoints:
            self.sampler.load_state_dict(load(checkpoints[-1], 'sampler checkpoint')['sampler'])
        for index, event in enumerate(self.log.events[:known]):
            self.muted = index < learnt
            if event['event'] == 'issued':
                choices = tuple(event['choices'])
                if not self.muted and self.sampler.ask(1, self._seed(event['trial'])) != [choices]:
                    raise InputError(
                        f'--resume: trial {event["trial"]} of {self.log.path} is another network than the sampler '
                        'proposes; was its code or configuration changed?'
                    )
                self._enter(Trial(event['trial'], choices, event['key']))
            elif event['event'] in ('done', 'failed', 'dropped'):
                self._end(event)
        self.muted = False

    def _forget_failures(self) -> None:
        """Take the last failures in a row back, and what was proposed since: once their cause is mended, a resumed
        search tries them again."""
        if self.failed_from is None:
            return
        for event in self.log.cut(self.failed_from):
            if event['event'] == 'issued':  # its number will be another network's
                shutil.rmtree(self.work_dir / 'trials' / f'{event["trial"]:06d}', ignore_errors=True)
        for path in self._checkpoints():
            if int(path.stem.partition('_')[2]) > self.failed_from:
                path.unlink()


def read_trials(log: TrialLog) -> list[Trial]:
    """The trials of a log; what has not ended has no reward."""
    ends = {event['trial']: event for event in log.of('done') + log.of('failed')}
    by_key: dict[str, Trial] = {}
    trials = []
    for event in sorted(log.of('issued'), key=lambda event: event['trial']):
        trial = Trial(event['trial'], tuple(event['choices']), event['key'])
        if trial.key is None:
            trial.reward, trial.metrics = 0.0, {'error': 'illegal'}
        elif trial.number in ends:
            trial.take(ends[trial.number])
            by_key.setdefault(trial.key, trial)
        trials.append(trial)
    for trial in trials:
        if trial.reward is None and trial.key in by_key:
            trial.repeat(by_key[trial.key])
    return trials
