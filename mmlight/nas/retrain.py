"""What a search was worth: its best network retrained beside those of other searches and published graphs."""

import os
import statistics
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmlight.errors import InputError
from mmlight.nas.backends import Evaluation, Processes
from mmlight.nas.export import network_of_rank
from mmlight.nas.log import TrialLog
from mmlight.nas.objectives import ProxyTraining, count, put_network, train
from mmlight.nas.samplers.base import Choices
from mmlight.registry import GRAPHS, registered
from mmlight.runtime.config import load_config
from mmlight.runtime.train import set_epochs
from mmlight.tables import FeatureGraph

WIDEST = 1024  # channels that a published graph may get to be as large as another network


@dataclass(frozen=True)
class Row:
    """A network: its config, how large it is, and its metric for each seed."""

    name: str
    config: Path
    parameters: int
    macs: int
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Retraining:
    """An objective: choices are the index of a config and the seed."""

    configs: tuple[str, ...]
    metric: str

    def __call__(self, choices: Choices, folder: Path) -> dict:
        index, seed = choices
        config = folder / 'config.py'
        config.write_text(Path(self.configs[index]).read_text())
        metrics = train(config, folder / 'training', seed)
        return {**(metrics or {}), 'reward': float((metrics or {}).get(self.metric, 0.0))}


def compare(  # noqa: PLR0913 (what the command's options say)
    searches: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    graphs: Sequence[str] = (),
    epochs: int | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    workers: int = 1,
    shape: tuple[int, int] = (256, 256),
    equal_macs: bool = False,
    watch: Callable[[str], None] | None = None,
) -> list[Row]:
    """Train the best network of each search, and published graphs, with the first search's proxy at equal budget.

    They are evaluated on the proxy's test split, for the search has chosen by the validation split. What was trained
    already in ``out`` is not trained again.

    Args:
        searches: Their work dirs.
        out: Folder for configs, logs and results.
        graphs: Names of :data:`mmlight.registry.GRAPHS`, on the levels 3 to 7.
        epochs: Of every training; None for the proxy's.
        seeds: One training each.
        workers: Trainings at once.
        shape: Height and width of the image for which parameters and multiply-adds are counted.
        equal_macs: Published graphs once and of the least width with which they have no fewer multiply-adds than the
            first search's best network, instead of with its width and repeats.
        watch: Called with a line about each training that has ended.

    Returns:
        A row for each network.

    Raises:
        InputError: for an unknown graph, searches in different spaces, an ``out`` with other settings, a proxy without
            a test split, and a training that failed, for another reason than its own twice.
    """
    published = {name: registered(GRAPHS, name, '--graphs')(3, 7) for name in graphs}
    alone = [Path(path).name for path in searches]
    found = {f'best of {name if alone.count(name) == 1 else path}': network_of_rank(path)
             for name, path in zip(alone, searches, strict=True)}  # fmt: skip
    search, space, best = next(iter(found.values()))
    for name, (_, other, _) in found.items():
        if type(other) is not type(space):
            raise InputError(f'{name}: is of {type(other).__name__}, the first of {type(space).__name__}')
    objective = search.search.objective

    def proxy(network: Any) -> Config:
        cfg = load_config(objective.config, objective.get('options'))
        put_network(space, network, cfg)
        return cfg

    configs = {name: proxy(network) for name, (_, _, network) in found.items()}
    if published and 'graph' not in (next(iter(configs.values())).model.get('neck') or {}):
        raise InputError(f'--graphs: networks of {type(space).__name__} have no neck that takes a feature graph')
    for name, graph in published.items():
        configs[name] = _as_large(name, proxy(best), graph, shape) if equal_macs else proxy(graph)

    out, rows = Path(out), []
    settings = dict(networks={name: cfg.model.to_dict() for name, cfg in configs.items()},
                    epochs=epochs, seeds=list(seeds), split='test')  # fmt: skip
    TrialLog(out / 'settings.jsonl', settings)
    for index, (name, cfg) in enumerate(configs.items()):
        if cfg.get('test_dataloader') is None or cfg.get('test_evaluator') is None:
            raise InputError(f'config {objective.config}: has no test_dataloader or test_evaluator to compare with')
        if epochs is not None:
            set_epochs(cfg, epochs)
            cfg.train_cfg.val_interval = epochs
        cfg.val_dataloader, cfg.val_evaluator = cfg.test_dataloader, cfg.test_evaluator
        cfg.dump(out / f'network_{index}.py')
        rows.append(Row(name, out / f'network_{index}.py', *count(cfg, tuple(shape))))

    metric = objective.get('metric', ProxyTraining.metric)
    values = train_all({row.name: row.config for row in rows}, metric, out, seeds, workers, watch)
    return [replace(row, values=tuple(v)) for row, v in zip(rows, values, strict=True)]


def _as_large(name: str, like: Config, graph: FeatureGraph, shape: tuple[int, int]) -> Config:
    """``like`` with another graph in its neck, and the least width with which it has no fewer multiply-adds."""
    macs = count(like, shape)[1]

    def of_width(width: int) -> Config:
        cfg = Config(like.to_dict())
        repeats = 'stack_times' if 'stack_times' in cfg.model.neck else 'num_cells'
        cfg.model.neck.update({'graph': graph.to_dict(), repeats: 1, 'out_channels': width})
        cfg.model.bbox_head.in_channels = width
        return cfg

    widths = range(1, WIDEST + 1)
    place = bisect_left(widths, macs, key=lambda width: count(of_width(width), shape)[1])
    if place == len(widths):
        raise InputError(f'--equal-macs: {name} has fewer than {macs:,} multiply-adds with {widths[-1]} channels')
    return of_width(widths[place])


def train_all(
    networks: Mapping[str, Path],
    metric: str,
    out: Path,
    seeds: Sequence[int],
    workers: int,
    watch: Callable[[str], None] | None = None,
) -> list[list[float]]:
    """Train the config of each network with each seed in ``out``, unless that was done.

    Returns:
        For each network the ``metric`` of each seed.

    Raises:
        InputError: a training failed, for another reason than its own twice.
    """
    names, configs = list(networks), list(map(str, networks.values()))
    jobs = {j * len(configs) + i: (i, seed) for i in range(len(configs)) for j, seed in enumerate(seeds)}
    results: dict[tuple[int, int], float] = {}
    pool = Processes(Retraining(tuple(configs), metric), out, workers)
    try:
        evaluation = Evaluation(pool)
        waiting = sorted(jobs.items())
        while len(results) < len(jobs):
            while waiting and evaluation.room > 0:
                evaluation.submit(*waiting.pop(0))
            for outcome, _ in evaluation.poll(1.0):
                index, seed = jobs[outcome.number]
                if outcome.metrics is None:
                    raise InputError(f'{names[index]}, seed {seed}: cannot be trained: {outcome.error}')
                results[index, seed] = outcome.metrics['reward']
                if watch is not None:
                    watch(f'{names[index]}, seed {seed}: {metric} {results[index, seed]:.3f}')
    finally:
        pool.close()
    return [[results[index, seed] for seed in seeds] for index in range(len(configs))]


def markdown(rows: Sequence[Row], seeds: Sequence[int]) -> str:
    """The rows as a table: mean and standard deviation (of the sample) over the seeds."""
    lines = [
        f'| network | parameters | MACs | {" | ".join(f"seed {seed}" for seed in seeds)} | mean ± sd |',
        '|' + '---|' * (4 + len(seeds)),
    ]
    for row in rows:
        deviation = statistics.stdev(row.values) if len(row.values) > 1 else 0.0
        values = ' | '.join(f'{100 * value:.1f}' for value in row.values)
        lines.append(
            f'| {row.name} | {row.parameters:,} | {row.macs / 1e6:.1f} M | {values} | '
            f'{100 * statistics.mean(row.values):.1f} ± {100 * deviation:.1f} |'
        )
    return '\n'.join(lines)
