"""A search as its config says."""

import copy
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry

from mmlight.errors import InputError
from mmlight.files import put
from mmlight.nas.backends import Backend, make_backend
from mmlight.nas.driver import Progress, SearchDriver, Trial
from mmlight.nas.front import write as write_front
from mmlight.nas.log import TrialLog
from mmlight.registry import OBJECTIVES, SAMPLERS, SPACES, registered
from mmlight.runtime.config import find_config, load_config
from mmlight.runtime.progress import make_progress
from mmlight.runtime.work_dir import locked

SECTIONS = ('space', 'sampler', 'objective')
PROXY = (
    'model',
    'train_dataloader',
    'val_dataloader',
    'val_evaluator',
    'optim_wrapper',
    'param_scheduler',
    'train_cfg',
)


def build(kind: str, section: dict, known: Registry, *arguments: object) -> Any:
    """An object of a config's section.

    Raises:
        InputError: for an unknown type or argument.
    """
    options = dict(section)
    made = registered(known, options.pop('type', None), f'config key {kind}.type')
    try:
        return made(*arguments, **options)
    except TypeError as error:
        raise InputError(f'config key {kind}: {error}') from None


def load_search(path: str | os.PathLike) -> Config:
    """The ``search`` section of a config; the rest of the config is the proxy, unless the objective names another. The
    default sampler is local search (arXiv 2005.02960).

    Raises:
        InputError: for a file that cannot be read, or lacks the section, or space, objective or trials in it.
    """
    path = find_config(path)
    cfg = load_config(path)
    search = cfg.get('search')
    if not isinstance(search, dict):
        raise InputError(f'config {path}: defines no `search`')
    if 'space' in ((cfg.get('model') or {}).get('neck') or {}):  # a supernet knows its space
        search.setdefault('space', cfg.model.neck.space)
    missing = [section for section in ('space', 'objective', 'trials') if section not in search]
    if missing:
        raise InputError(f'config {path}: `search` defines no {missing[0]!r}')
    search.setdefault('sampler', dict(type='LocalSearch'))
    unknown = set(search) - {*SECTIONS, 'trials', 'batch_size', 'seed', 'max_samples'}
    if unknown:
        raise InputError(f'config {path}: `search` has the unknown key {sorted(unknown)[0]!r}')
    for section in SECTIONS:
        if not isinstance(search[section], dict):
            raise InputError(f'config key search.{section}: must be a dict with a type, got {search[section]!r}')
    search['objective'].setdefault('config', str(path))
    return cfg


def make_space(cfg: Config) -> Any:
    """The space of a search's config."""
    return build('search.space', cfg.search.space, SPACES)


def run(
    config: str | os.PathLike,
    work_dir: str | os.PathLike,
    resume: bool = False,
    backend: str = 'inline',
    watch: Callable[[Progress], None] | None = None,
    on_trial: Callable[[Trial], None] | None = None,
    trials: int | None = None,
    **placement: Any,
) -> list[Trial]:
    """Run the search of a config.

    Args:
        config: Its file.
        work_dir: For everything that the search writes.
        resume: Go on with the search in ``work_dir``; a new one starts if there is none.
        backend: Where trials run, see :func:`mmlight.nas.backends.make_backend`.
        watch: Called after each generation, see :class:`mmlight.nas.driver.SearchDriver`.
        on_trial: Called with each trial that was evaluated.
        trials: Networks to evaluate, instead of the config's.
        placement: ``workers``, ``devices``, ``address`` and ``gpus`` of the backend.

    Returns:
        All trials.

    Raises:
        InputError: for a config that cannot work, a space that does not fit the proxy among that, and for a
            ``work_dir`` that holds a search which is not to be resumed or is another one.
    """
    cfg = load_search(config)
    work_dir = Path(work_dir)
    if (work_dir / 'trials.jsonl').exists() and not resume:
        raise InputError(f'--work-dir {work_dir}: holds a search already; --resume goes on with it')
    search, space = cfg.search, make_space(cfg)
    search.trials = search.trials if trials is None else trials
    sampler = build('search.sampler', search.sampler, SAMPLERS, space)
    objective = build('search.objective', search.objective, OBJECTIVES, space)
    goals = len(getattr(sampler, 'directions', ('maximize',)))
    if goals != objective.num_values:
        raise InputError(
            f'config key search.sampler: has {goals} direction(s), search.objective gives {objective.num_values} '
            'value(s); `against` of ProxyTraining adds the second'
        )
    objective.check()
    work_dir.mkdir(parents=True, exist_ok=True)
    identity: dict[str, Any] = {section: dict(search[section]) for section in SECTIONS}
    identity['objective'].pop('config')  # its path may differ from machine to machine
    identity |= _proxy(search.objective, work_dir / 'trials.jsonl')
    with locked(work_dir):
        place = make_backend(backend, objective, work_dir, **placement)
        driver = _driver(space, sampler, place, work_dir, search, identity, watch, on_trial)
        _keep(cfg, config, work_dir / 'search.py')  # not before the log was compared: another search may lie there
        try:
            if hasattr(objective, 'prepare'):
                objective.prepare(work_dir)
        except BaseException:
            place.close()
            raise
        found = driver.run()
        if objective.num_values > 1:
            write_front(work_dir, objective)
        return found


def _driver(
    space: Any, sampler: Any, place: Backend, work_dir: Path, search: Any, identity: dict, watch: Any, on_trial: Any
) -> SearchDriver:
    try:
        return SearchDriver(
            space,
            sampler,
            place,
            work_dir,
            search.trials,
            search.get('batch_size', 20),
            search.get('seed', 0),
            search.get('max_samples'),
            identity,
            watch,
            on_trial,
        )
    except BaseException:
        place.close()
        raise


def _proxy(objective: Any, log: Path) -> dict[str, str]:
    """A digest of each part of the config that trials are trained with: their rewards cannot be compared with those of
    another. Nothing where the log to go on with is older than these entries."""
    if log.exists() and not any(key.startswith('proxy.') for key in (TrialLog(log).events or [{'proxy.': ''}])[0]):
        return {}
    cfg = load_config(objective.config, objective.get('options'))
    found = {}
    for part in PROXY:
        text = json.dumps(_portable(cfg.get(part)), sort_keys=True, default=str)
        found[f'proxy.{part}'] = hashlib.sha256(text.encode()).hexdigest()[:12]
    return found


def _portable(value: object) -> object:
    """The same on every machine: of a path its last part."""
    if isinstance(value, dict):
        return {str(key): _portable(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_portable(entry) for entry in value]
    return Path(value).name if isinstance(value, str) and '/' in value else value


def _keep(cfg: Config, config: str | os.PathLike, path: Path) -> None:
    """Write the config; it is the proxy of what is exported, unless the objective names another."""
    kept = copy.deepcopy(cfg)
    if kept.search.objective.config == str(find_config(config)):
        del kept.search.objective['config']
    put(kept.pretty_text, path)


class Display:
    """A line about each generation; on a terminal also a bar that moves with each trial. To be used in ``with``."""

    def __enter__(self) -> 'Display':
        self.bar = make_progress()
        self.best: float | None = None
        if self.bar is not None:
            self.bar.start()
            self.task = self.bar.add_task('trials', total=None, note='')
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def watch(self, progress: Progress) -> None:
        """After a generation."""
        print(report_line(progress), flush=True)
        self._note(progress.best)
        if self.bar is not None:
            self.bar.update(self.task, total=progress.trials, completed=progress.evaluated)

    def on_trial(self, trial: Trial) -> None:
        """After a trial."""
        self._note(trial.reward)
        if self.bar is not None:
            self.bar.advance(self.task)

    def _note(self, reward: float | None) -> None:
        self.best = max((value for value in (reward, self.best) if value is not None), default=None)
        if self.bar is not None and self.best is not None:
            self.bar.update(self.task, note=f'best {self.best:.4f}')


def report_line(progress: Progress) -> str:
    """One line about a generation."""
    best = 'none' if progress.best is None else f'{progress.best:.4f}'
    mean = 'none' if progress.mean is None else f'{progress.mean:.4f}'
    minutes, seconds = divmod(round(progress.seconds_left), 60)
    return (
        f'generation {progress.generation}: best {best}, mean {mean}, {progress.evaluated} of {progress.trials} trials '
        f'({progress.samples} sampled), {minutes} min {seconds:02d} s left'
    )
