"""The driver of a search: asks the sampler, has trials evaluated, tells the sampler; it can be resumed at any point."""

import hashlib
import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from mmlight import checks
from mmlight.errors import InputError
from mmlight.nas.backends import Backend
from mmlight.nas.log import TrialLog
from mmlight.nas.samplers import Sampler
from mmlight.nas.samplers.base import Choices
from mmlight.nas.spaces import DecisionSpace
from mmlight.runtime.checkpoint import AtomicBackend, load

RETRIES = 2
KEPT_CHECKPOINTS = 3


@dataclass
class Trial:
    """One proposed network.

    Attributes:
        number: Counted over the whole search.
        choices: The decisions.
        key: Of the network; None for an illegal one.
        reward: None for a trial that was dropped.
        metrics: What the objective reported.
        source: The trial whose result it has: its own number where it was evaluated.
    """

    number: int
    choices: Choices
    key: str | None
    reward: float | None = None
    metrics: dict | None = None
    source: int | None = None

    @property
    def told(self) -> float | list[float]:
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
    """Generations of ``batch_size`` networks: sampled from ``(seed, generation)`` and the sampler's state, evaluated,
    and told to the sampler in the order in which they were sampled. So a search that was killed goes on as if it had
    not been.

    A network that was evaluated before has its old reward: it teaches the sampler, but does not count as a trial. An
    illegal one has the reward 0. Where the infrastructure fails, a trial is tried twice again, then left out; a
    generation of which nothing could be evaluated ends the search.

    Args:
        space, sampler, backend: The parts.
        work_dir: For the log, the sampler's checkpoints and the trials' folders.
        trials: Networks to evaluate.
        batch_size: Networks of a generation; not fewer than the backend runs at once.
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
        self.results: dict[str, Trial] = {}
        self.history: list[Trial] = []
        self.generation = 0

    def run(self) -> list[Trial]:
        """The whole search, or what is left of it.

        Returns:
            All trials, in the order in which they were sampled.
        """
        self._restore()
        start, before = time.monotonic(), self.evaluated
        try:
            while self.evaluated < self.trials and len(self.history) < self.max_samples:
                batch = self._generation()
                self.history += batch
                told = [trial for trial in batch if trial.reward is not None]
                facts = self.sampler.tell([t.choices for t in told], [t.told for t in told])
                self._finish(batch, facts)
                if self.watch is not None:
                    self.watch(self._progress(told, (time.monotonic() - start) / max(self.evaluated - before, 1)))
        finally:
            self.backend.close()
        return self.history

    def _progress(self, told: list[Trial], pace: float) -> Progress:
        rewards = [trial.reward for trial in told]
        return Progress(
            self.generation,
            len(self.history),
            self.evaluated,
            self.trials,
            self.best.reward if self.best else None,
            sum(rewards) / len(rewards) if rewards else None,
            pace * max(self.trials - self.evaluated, 0),
        )

    @property
    def evaluated(self) -> int:
        """Trials that were evaluated."""
        return len(self.results)

    @property
    def best(self) -> Trial | None:
        """The first evaluated trial with the highest reward."""
        done = [trial for trial in self.history if trial.source is not None]
        return max(done, key=lambda trial: (trial.reward, -trial.number), default=None)

    def _seed(self, generation: int) -> int:
        return int.from_bytes(hashlib.sha256(f'{self.seed} {generation}'.encode()).digest()[:7])

    def _propose(self) -> list[Trial]:
        first = self.generation * self.batch_size
        batch = []
        for offset, choices in enumerate(self.sampler.ask(self.batch_size, self._seed(self.generation))):
            try:
                key = self.space.key(choices)
            except InputError:
                key = None
            batch.append(Trial(first + offset, choices, key))
        return batch

    def _generation(self) -> list[Trial]:
        batch = self._propose()
        issued = {event['trial']: event for event in self.log.of('issued')}
        new = [trial for trial in batch if trial.number not in issued]
        if new:
            self.log.append(*({'event': 'issued', 'trial': trial.number, 'generation': self.generation,
                               'choices': list(trial.choices), 'key': trial.key} for trial in new))  # fmt: skip
        for trial in batch:
            if trial.number in issued and tuple(issued[trial.number]['choices']) != trial.choices:
                raise InputError(
                    f'--resume: trial {trial.number} of {self.log.path} is another network than the sampler proposes; '
                    'was its code or configuration changed?'
                )
        done = {event['trial']: event for event in self.log.of('done')}
        dropped = {event['trial'] for event in self.log.of('dropped')}
        waiting: dict[int, Trial] = {}
        pending: dict[str, Trial] = {}
        for trial in batch:
            if trial.key is None:
                trial.reward, trial.metrics = 0.0, {'error': 'illegal'}
            elif trial.number in done:
                self._take(trial, done[trial.number]['metrics'])
            elif trial.number not in dropped and trial.key not in self.results and trial.key not in pending:
                pending[trial.key] = waiting[trial.number] = trial
                self.backend.submit(trial.number, trial.choices)
        self._wait(waiting)
        for trial in batch:
            if trial.reward is None and trial.key in self.results:
                first = self.results[trial.key]
                trial.reward, trial.metrics, trial.source = first.reward, first.metrics, first.number
        return batch

    def _wait(self, waiting: dict[int, Trial]) -> None:
        failures: dict[int, int] = {}
        submitted, dropped = len(waiting), []
        while waiting:
            for outcome in self.backend.poll(1.0):
                trial = waiting.get(outcome.number)
                if trial is None:
                    continue
                if outcome.metrics is None:
                    failures[trial.number] = failures.get(trial.number, 0) + 1
                    if failures[trial.number] <= RETRIES:
                        self.backend.submit(trial.number, trial.choices)
                        continue
                    dropped.append({'event': 'dropped', 'trial': trial.number, 'error': outcome.error})
                else:
                    self.log.append({'event': 'done', 'trial': trial.number, 'metrics': outcome.metrics,
                                     'worker': outcome.worker, 'time': time.time()})  # fmt: skip
                    self._take(trial, outcome.metrics)
                    if self.on_trial is not None:
                        self.on_trial(trial)
                del waiting[trial.number]
        if len(dropped) == submitted > 1:  # not logged: they are tried again once the cause is mended
            raise InputError(
                f'search: no trial of generation {self.generation} could be evaluated; the last one, '
                f'{dropped[-1]["trial"]}: {dropped[-1]["error"]}'
            )
        if dropped:
            self.log.append(*dropped)

    def _take(self, trial: Trial, metrics: dict) -> None:
        trial.reward, trial.metrics, trial.source = float(metrics['reward']), metrics, trial.number
        self.results.setdefault(trial.key, trial)

    def _finish(self, batch: list[Trial], facts: dict[str, float]) -> None:
        # before the checkpoint: with that the generation is over, and would never be logged after a kill
        if self.generation not in {event['generation'] for event in self.log.of('generation')}:
            rewards = [trial.reward for trial in batch if trial.reward is not None]
            self.log.append({
                'event': 'generation',
                'generation': self.generation,
                'mean': sum(rewards) / len(rewards) if rewards else None,
                'best': self.best.reward if self.best else None,
                'unique': len(self.results),
                'sampled': len(self.history),
                **facts,
            })  # fmt: skip
        content = io.BytesIO()
        torch.save({'generation': self.generation + 1, 'sampler': self.sampler.state_dict()}, content)
        AtomicBackend().put(content.getvalue(), self._checkpoint(self.generation))
        self._checkpoint(self.generation - KEPT_CHECKPOINTS).unlink(missing_ok=True)
        self.generation += 1

    def _checkpoint(self, generation: int) -> Path:
        return self.work_dir / f'sampler_{generation:06d}.pth'

    def _restore(self) -> None:
        """The state after the last generation that was finished."""
        checkpoints = sorted(self.work_dir.glob('sampler_*.pth'))
        if not checkpoints:
            return
        state = load(checkpoints[-1], 'sampler checkpoint')
        self.sampler.load_state_dict(state['sampler'])
        self.generation = state['generation']
        self.history = read_trials(self.log, self.generation * self.batch_size)
        if len(self.history) < self.generation * self.batch_size:
            raise InputError(
                f'--resume: {self.log.path} has {len(self.history)} trials, the sampler in {checkpoints[-1].name} has '
                f'learnt from {self.generation * self.batch_size}: lines of the log are missing'
            )
        for trial in self.history:
            if trial.source == trial.number:
                self.results.setdefault(trial.key, trial)


def read_trials(log: TrialLog, count: int | None = None) -> list[Trial]:
    """The first ``count`` trials of a log, or all that have ended."""
    done = {event['trial']: event['metrics'] for event in log.of('done')}
    by_key: dict[str, Trial] = {}
    trials = []
    for event in sorted(log.of('issued'), key=lambda event: event['trial'])[:count]:
        trial = Trial(event['trial'], tuple(event['choices']), event['key'])
        if trial.key is None:
            trial.reward, trial.metrics = 0.0, {'error': 'illegal'}
        elif trial.number in done:
            trial.metrics = done[trial.number]
            trial.reward, trial.source = float(trial.metrics['reward']), trial.number
            by_key.setdefault(trial.key, trial)
        trials.append(trial)
    for trial in trials:
        if trial.reward is None and trial.key in by_key:
            first = by_key[trial.key]
            trial.reward, trial.metrics, trial.source = first.reward, first.metrics, first.number
    return trials
