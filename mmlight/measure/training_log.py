"""Curves and iteration times from the JSON-lines log that a runner writes (``vis_data/*.json``)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmlight.errors import InputError

BOOKKEEPING = ('epoch', 'iter', 'step', 'memory', 'mode')


@dataclass(frozen=True)
class TrainingLog:
    """One log, split into what training and what validation wrote.

    Attributes:
        path: the file.
        train: records of training steps; ``step`` is the iteration.
        val: records of evaluations; ``step`` is the epoch in epoch-based training, else the iteration.
    """

    path: Path
    train: list[dict]
    val: list[dict]

    @property
    def by_epoch(self) -> bool:
        """Whether the training counted epochs."""
        return any('epoch' in record for record in self.train)

    def keys(self) -> list[str]:
        """Everything that can be plotted."""
        names = dict.fromkeys(key for record in self.train + self.val for key in record)
        return [name for name in names if name not in BOOKKEEPING]

    def curve(self, key: str) -> tuple[list[int], list[float], str]:
        """Steps, values and the unit of the steps (``iter`` or ``epoch``) of a metric or loss.

        ``key`` may leave out the prefix of an evaluator: ``bbox_mAP`` finds ``coco/bbox_mAP``.

        Raises:
            InputError: the log has no such key; the ones it has are named.
        """
        for records, unit in ((self.train, 'iter'), (self.val, 'epoch' if self.by_epoch else 'iter')):
            found = [
                (record['step'], value)
                for record in records
                for name, value in record.items()
                if key in (name, name.rpartition('/')[2]) and isinstance(value, (int, float))
            ]
            if found:
                steps, values = zip(*found, strict=True)
                return list(steps), list(values), unit
        raise InputError(f'--keys {key}: not in {self.path}, which has {", ".join(self.keys()) or "nothing"}')

    def iteration_times(self, include_outliers: bool = False) -> dict[int, float]:
        """Epoch -> mean seconds per iteration; iteration-based training counts as one epoch, 1.

        The first record of an epoch, which carries the start of the workers, is left out unless ``include_outliers``
        or it is the epoch's only one.
        """
        times = defaultdict(list)
        for record in self.train:
            if 'time' in record:
                times[record.get('epoch', 1)].append(record['time'])
        if not times:
            raise InputError(f'{self.path}: has no iteration times; lower `default_hooks.logger.interval` for training')
        kept = {epoch: values if include_outliers else values[1:] or values for epoch, values in times.items()}
        return {epoch: sum(values) / len(values) for epoch, values in kept.items()}


def read_log(path: str | Path) -> TrainingLog:
    """Read a log; lines of a resumed run that repeat a step replace the older ones.

    Raises:
        InputError: the file is missing or is no JSON-lines log.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
        records = [json.loads(line) for line in lines if line.strip()]
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror or error})') from error
    except ValueError as error:
        raise InputError(f'{path}: not a JSON-lines log such as <work_dir>/<time>/vis_data/scalars.json') from error
    if not all(isinstance(record, dict) for record in records) or not any('step' in record for record in records):
        raise InputError(f'{path}: holds no records with a `step`; give <work_dir>/<time>/vis_data/scalars.json')
    train: dict[int, dict] = {}
    val: dict[int, dict] = {}
    for record in records:
        if 'step' in record:  # only training writes the learning rate; the config at the file's head has no step
            (train if 'lr' in record or 'iter' in record else val)[record['step']] = record
    return TrainingLog(path, [train[step] for step in sorted(train)], [val[step] for step in sorted(val)])


def plot_curves(
    logs: Sequence[TrainingLog],
    keys: Sequence[str],
    out: str | Path | None = None,
    title: str | None = None,
    legend: Sequence[str] | None = None,
    style: str | None = None,
    backend: str | None = None,
) -> None:
    """Draw every key of every log: save the figure to ``out``, or show it if ``out`` is None.

    Curves over iterations and curves over epochs get a panel each.

    Raises:
        InputError: a key is in none of the records, the number of legends does not fit, or there is no such style.
    """
    import matplotlib

    if backend or out:
        matplotlib.use(backend or 'Agg')
    import matplotlib.pyplot as plt

    curves = [(log, key, log.curve(key)) for log in logs for key in keys]
    if legend is not None and len(legend) != len(curves):
        raise InputError(f'--legend: {len(legend)} names for {len(curves)} curves (logs x keys)')
    if style and style not in plt.style.available:
        style = f'seaborn-v0_8-{style}'  # the names that seaborn users know
        if style not in plt.style.available:
            raise InputError(f'--style: unknown; allowed are {", ".join(plt.style.available)}')
    with plt.style.context(style or 'default'):
        units = list(dict.fromkeys(unit for _, _, (_, _, unit) in curves))
        figure, grid = plt.subplots(len(units), figsize=(8, 5 * len(units)), layout='constrained', squeeze=False)
        panels: dict[str, Any] = dict(zip(units, grid.flat, strict=True))
        for index, (log, key, (steps, values, unit)) in enumerate(curves):
            label = legend[index] if legend else f'{log.path.stem} {key}' if len(logs) > 1 else key
            marker = 'o' if len(steps) <= 50 else None
            panels[unit].plot(steps, values, label=label, marker=marker, markersize=3, linewidth=1)
        for unit, axes in panels.items():
            axes.set_xlabel(unit)
            axes.set_ylabel(keys[0] if len(keys) == 1 else '')
            axes.grid(True, alpha=0.3)
            axes.legend()
        figure.suptitle(title or '')
        if out is None:
            plt.show()
        else:
            Path(out).parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(out, dpi=150)
        plt.close(figure)


def describe_times(log: TrainingLog, include_outliers: bool = False) -> str:
    """Slowest and fastest epoch, spread and mean of the iteration time, as text."""
    times = log.iteration_times(include_outliers)
    mean = sum(times.values()) / len(times)
    spread = (sum((value - mean) ** 2 for value in times.values()) / len(times)) ** 0.5
    slowest, fastest = max(times, key=times.__getitem__), min(times, key=times.__getitem__)
    lines = [f'{log.path}']
    if log.by_epoch:
        lines += [
            f'slowest epoch {slowest}, average time is {times[slowest]:.4f} s/iter',
            f'fastest epoch {fastest}, average time is {times[fastest]:.4f} s/iter',
            f'time std over epochs is {spread:.4f}',
        ]
    return '\n'.join([*lines, f'average iter time: {mean:.4f} s/iter'])
