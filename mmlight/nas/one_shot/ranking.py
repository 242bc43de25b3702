"""Does the supernet rank as stand-alone training does? Allocations trained alone, and their order compared."""

import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path as File
from statistics import mean, stdev

from mmlight.errors import InputError
from mmlight.nas.backends.base import Retry
from mmlight.nas.log import TrialLog
from mmlight.nas.objectives import network_config, train
from mmlight.nas.one_shot.searchers import Path
from mmlight.nas.report import table
from mmlight.nas.spaces import StageSpace
from mmlight.runtime.checkpoint import AtomicBackend


def kendall_tau(one: Sequence[float], other: Sequence[float]) -> float:
    """Kendall's tau-b of two rankings: 1 for the same order, -1 for the reverse; ties count for neither."""
    pairs = [(i, j) for i in range(len(one)) for j in range(i)]
    signs = [((one[i] > one[j]) - (one[i] < one[j]), (other[i] > other[j]) - (other[i] < other[j])) for i, j in pairs]
    scale = sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs)
    return sum(a * b for a, b in signs) / scale**0.5 if scale else 0.0


class StandAlone:
    """Trains allocations of a stage search alone, each with the same config and seeds, and compares.

    Every training is in a folder of its own and goes on where it was stopped; its result is in ``OUT/trained.jsonl``.

    Args:
        search: Work dir of a finished stage search.
        config: Detector config that takes ``stage_blocks``.
        out: Folder.
        seeds: Of the trainings of each allocation.
        randoms: Eligible allocations, drawn at random, with whose mean the found one is compared.
        limit: Allocations to train at most: the found one, the random ones, then others.
        metric: Of the config's evaluation.
        options: Config values to override.
        dilations: Also train the found allocation with these, as an operation search found them.

    Raises:
        InputError: for a folder without a finished search, no allocation to compare with, and a ``limit`` below them.
    """

    def __init__(  # noqa: PLR0913 (what the command line gives)
        self,
        search: str | os.PathLike,
        config: str | os.PathLike,
        out: str | os.PathLike,
        seeds: Sequence[int] = (0,),
        randoms: int = 5,
        limit: int = 20,
        metric: str = 'coco/bbox_mAP',
        options: dict | None = None,
        dilations: Sequence[int] | None = None,
    ):
        search = File(search)
        if not (search / 'best.json').is_file():
            raise InputError(f'WORK_DIR {search}: holds no finished stage search (best.json)')
        log = TrialLog(search / 'search.jsonl')
        header = log.events[0]
        if header.get('search') != 'StageSearchLoop':
            raise InputError(f'WORK_DIR {search}: holds a {header.get("search")}, not a stage search')
        self.supernet = {tuple(event['path']): event['score'] for event in log.of('done') if not event['draw']}
        self.found: Path = tuple(json.loads((search / 'best.json').read_text())['path'])
        self.space = StageSpace(header['choices'], header['budget'], header['weights'], header['tolerance'])
        members = [path for path in self.space.members() if path in self.supernet]
        drawn = random.Random(0).sample(members, len(members))
        others = [path for path in drawn if path != self.found]
        if not others:
            raise InputError(f'WORK_DIR {search}: only {self.found} was scored, there is nothing to compare with')
        if randoms < 1 or limit <= randoms:
            raise InputError(f'--random {randoms}: must be at least 1 and less than --limit, {limit}')
        self.randoms = others[:randoms]
        self.paths = list(dict.fromkeys([self.found, *self.randoms, *drawn]))[:limit]
        self.out, self.seeds, self.dilations = File(out), tuple(seeds), dilations
        self.config, self.options = str(config), dict(options or {})
        self.metric = metric
        identity = dict(search=header['supernet'], metric=metric, options=self.options or None)
        self.log = TrialLog(self.out / 'trained.jsonl', identity)

    def run(self, watch: Callable[[str], None] = print) -> File:
        """Train what is not trained yet; returns the report."""
        jobs: list[tuple[Path, Path | None, int]] = [(path, None, seed) for seed in self.seeds for path in self.paths]
        if self.dilations is not None:
            jobs += [(self.found, tuple(self.dilations), seed) for seed in self.seeds]
        for number, (path, dilations, seed) in enumerate(jobs, 1):
            if (path, dilations, seed) not in self.trained():
                name = '-'.join(map(str, path)) + ('_' + ''.join(map(str, dilations)) if dilations else '')
                folder = self.out / f'{name}_seed{seed}'
                folder.mkdir(parents=True, exist_ok=True)
                metrics = self._train(path, dilations, seed, folder)
                self.log.append(dict(event='trained', path=path, dilations=dilations, seed=seed, metrics=metrics))
            value = self.trained()[path, dilations, seed]
            watch(f'{number} of {len(jobs)}: {path} {dilations or ""} seed {seed}: {self.metric} {value:.4f}')
        return self.report()

    def _train(self, path: Path, dilations: Path | None, seed: int, folder: File) -> dict:
        cfg = network_config(self.space, self.space.encode(path), self.config, self.options)
        cfg.model.backbone.block_dilations = dilations
        cfg.dump(folder / 'config.py')
        try:
            metrics = train(folder / 'config.py', folder / 'training', seed) or {self.metric: 0.0}  # diverged
        except (Retry, RuntimeError) as error:
            raise InputError(f'{path}, seed {seed}: cannot be trained: {error}') from None
        if self.metric not in metrics:
            raise InputError(f'--metric {self.metric}: is not among {", ".join(sorted(metrics))}')
        return metrics

    def trained(self) -> dict[tuple[Path, Path | None, int], float]:
        """(allocation, dilations, seed) -> metric."""
        return {
            (tuple(e['path']), e['dilations'] and tuple(e['dilations']), e['seed']): e['metrics'][self.metric]
            for e in self.log.of('trained')
        }

    def report(self) -> File:
        """Write ``report.md`` and ``ranking.png``."""
        trained = self.trained()
        alone = {path: [trained[path, None, seed] for seed in self.seeds] for path in self.paths}
        ours, theirs = [self.supernet[p] for p in self.paths], [mean(alone[p]) for p in self.paths]
        found, others = mean(alone[self.found]), [mean(alone[path]) for path in self.randoms]
        better = 'better' if found > mean(others) else 'not better'
        spread = stdev(others) if len(others) > 1 else 0.0
        per_seed = [kendall_tau(ours, [alone[p][i] for p in self.paths]) for i in range(len(self.seeds))]
        rows = [
            {
                'allocation': ', '.join(map(str, path)) + (' (found)' if path == self.found else ''),
                'supernet': f'{self.supernet[path]:.4f}',
                **{f'alone, seed {s}': f'{value:.4f}' for s, value in zip(self.seeds, alone[path], strict=True)},
                'mean': f'{mean(alone[path]):.4f}',
            }
            for path in sorted(self.paths, key=lambda path: -mean(alone[path]))
        ]
        lines = [
            '# The supernet against training alone',
            '',
            f"Kendall's tau over {len(self.paths)} allocations: {kendall_tau(ours, theirs):.2f} (each seed: "
            f'{", ".join(f"{tau:.2f}" for tau in per_seed)}).',
            '',
            f'Found {self.found}: {self.metric} {found:.4f}. Mean of {len(others)} random eligible allocations: '
            f'{mean(others):.4f} +- {spread:.4f} (standard deviation between them), from {min(others):.4f} to '
            f'{max(others):.4f}. The found one is {better} than their mean.',
        ]
        if self.dilations is not None:
            dilated = [trained[self.found, tuple(self.dilations), seed] for seed in self.seeds]
            lines.append(f'With the dilations {tuple(self.dilations)}: {mean(dilated):.4f}.')
        lines += ['', *table(rows), '', '![supernet against alone](ranking.png)', '']
        self._plot(ours, theirs)
        path = self.out / 'report.md'
        AtomicBackend().put('\n'.join(lines).encode(), path)
        return path

    def _plot(self, ours: Sequence[float], theirs: Sequence[float]) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(5.5, 4), layout='constrained')
        axes = figure.subplots()
        axes.plot(ours, theirs, '.', color='0.6')
        for path, x, y in zip(self.paths, ours, theirs, strict=True):
            color = 'tab:red' if path == self.found else '0.2'
            axes.annotate(''.join(map(str, path)), (x, y), (4, 3), textcoords='offset points', fontsize=8, color=color)
        axes.margins(0.12)
        axes.locator_params(nbins=6)
        axes.set(xlabel=f'{self.metric} with the weights of the supernet', ylabel=f'{self.metric} trained alone')
        figure.savefig(self.out / 'ranking.png', dpi=110)
