"""What a search was worth: its best network retrained beside those of other searches and published graphs."""

import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmlight.errors import InputError
from mmlight.nas.backends import Evaluation, Processes
from mmlight.nas.export import network_of_rank
from mmlight.nas.log import TrialLog
from mmlight.nas.objectives import ProxyTraining, count, train
from mmlight.nas.samplers.base import Choices
from mmlight.registry import GRAPHS, registered
from mmlight.runtime.config import load_config
from mmlight.runtime.train import set_epochs


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


def compare(
    searches: Sequence[str | os.PathLike],
    out: str | os.PathLike,
    graphs: Sequence[str] = (),
    epochs: int | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    workers: int = 1,
    shape: tuple[int, int] = (256, 256),
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
    search, space, _ = next(iter(found.values()))
    for name, (_, other, _) in found.items():
        if type(other) is not type(space):
            raise InputError(f'{name}: is of {type(other).__name__}, the first of {type(space).__name__}')
    networks = {name: network for name, (_, _, network) in found.items()} | published

    out, rows = Path(out), []
    settings = dict(networks={name: space.to_dict(network) for name, network in networks.items()},
                    epochs=epochs, seeds=list(seeds), split='test')  # fmt: skip
    TrialLog(out / 'settings.jsonl', settings)
    objective = search.search.objective
    for index, (name, network) in enumerate(networks.items()):
        cfg = load_config(objective.config, objective.get('options'))
        cfg.pop('search', None)
        if cfg.get('test_dataloader') is None or cfg.get('test_evaluator') is None:
            raise InputError(f'config {objective.config}: has no test_dataloader or test_evaluator to compare with')
        space.apply(network, cfg)
        if epochs is not None:
            set_epochs(cfg, epochs)
            cfg.train_cfg.val_interval = epochs
        cfg.val_dataloader, cfg.val_evaluator = cfg.test_dataloader, cfg.test_evaluator
        cfg.dump(out / f'network_{index}.py')
        rows.append(Row(name, out / f'network_{index}.py', *count(cfg, tuple(shape))))

    metric = objective.get('metric', ProxyTraining.metric)
    values = _train(Retraining(tuple(str(row.config) for row in rows), metric), out, rows, seeds, workers, watch)
    return [Row(row.name, row.config, row.parameters, row.macs, tuple(v)) for row, v in zip(rows, values, strict=True)]


def _train(
    objective: Retraining, out: Path, rows: list[Row], seeds: Sequence[int], workers: int, watch: Callable | None
) -> list[list]:
    jobs = {i * len(seeds) + j: (i, seed) for i in range(len(rows)) for j, seed in enumerate(seeds)}
    results: dict[int, float] = {}
    pool = Processes(objective, out, workers)
    try:
        evaluation = Evaluation(pool)
        waiting = list(jobs.items())
        while len(results) < len(jobs):
            while waiting and evaluation.room > 0:
                evaluation.submit(*waiting.pop(0))
            for outcome, _ in evaluation.poll(1.0):
                index, seed = jobs[outcome.number]
                if outcome.metrics is None:
                    raise InputError(f'{rows[index].name}, seed {seed}: cannot be trained: {outcome.error}')
                results[outcome.number] = outcome.metrics['reward']
                if watch is not None:
                    watch(f'{rows[index].name}, seed {seed}: {objective.metric} {outcome.metrics["reward"]:.3f}')
    finally:
        pool.close()
    return [[results[i * len(seeds) + j] for j in range(len(seeds))] for i in range(len(rows))]


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
