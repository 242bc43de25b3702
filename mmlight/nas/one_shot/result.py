"""What a search leaves behind: the backbone's settings, its weights, configs that train it, and a report."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path as File
from typing import TYPE_CHECKING, Any

import torch
from mmengine.config import Config, ConfigDict

from mmlight.errors import InputError
from mmlight.measure.complexity import measure
from mmlight.nas.one_shot.searchers import BeamStep, Path
from mmlight.nas.report import table
from mmlight.registry import MODELS
from mmlight.runtime.checkpoint import AtomicBackend
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import evaluated_shape

if TYPE_CHECKING:
    from mmlight.nas.one_shot.loops import GreedyOpSearchLoop, SearchLoop, StageSearchLoop

TABLES = ('stage_blocks', 'block_dilations')


class StageCosts:
    """Parameters and multiply-adds of every allocation's backbone, for an image of the test pipeline's size.

    A stage costs the same whatever the other stages are, so one network for each choice tells all.

    Args:
        supernet: Its width and choices.
        cfg: Of which the size is read; 800x1088 if it has none.
    """

    def __init__(self, supernet: Any, cfg: Config):
        try:
            shape = evaluated_shape(cfg)
        except InputError:
            shape = (800, 1088)
        self.shape = (-(-shape[0] // 32) * 32, -(-shape[1] // 32) * 32)
        self.supernet = supernet
        self.costs: list[dict[int, tuple[int, int]]] = []

    def _measure(self) -> None:
        choices = self.supernet.choices
        self.costs = [{} for _ in choices]
        for number in range(max(map(len, choices))):
            path = tuple(allowed[min(number, len(allowed) - 1)] for allowed in choices)
            with torch.device('meta'):
                network = MODELS.build(self.supernet.backbone_config(path))
            found = measure(network, self.shape)
            rest = (found.parameters, found.macs)
            for name, count, costs in zip(self.supernet.stage_names, path, self.costs, strict=True):
                part = found.by_part[name]
                costs[count] = (part.parameters, part.macs)
                rest = (rest[0] - part.parameters, rest[1] - part.macs)
            self.rest = rest

    def __call__(self, path: Path) -> tuple[int, int]:
        """Parameters and multiply-adds."""
        if not self.costs:
            self._measure()
        parts = [self.rest, *(costs[count] for costs, count in zip(self.costs, path, strict=True))]
        return sum(part[0] for part in parts), sum(part[1] for part in parts)


def load_targets(names: Sequence[str]) -> dict[str, Config]:
    """Configs whose backbone a search is to fill in.

    Raises:
        InputError: for one that cannot be read, or whose backbone takes no table.
    """
    found = {}
    for name in names:
        cfg = load_config(name)
        kind = str(cfg.model.get('backbone', {}).get('type'))
        if not re.fullmatch(r'mmlight\.(CR|CROpSuper)(ResNet|ResNeXt|MobileNetV2)', kind):
            raise InputError(f'targets: {name}: its backbone must be a mmlight.CR... with stage_blocks, got {kind}')
        found[File(name).stem] = cfg
    return found


def write(loop: 'SearchLoop', path: Path, score: float) -> dict:
    """Write ``best.json``, ``best.py``, ``best.pth`` and the targets; returns the backbone's settings."""
    settings, weights = loop.supernet.extract(path)
    state = {name: value for name, value in loop.model.state_dict().items() if not name.startswith('backbone.')}
    state |= {f'backbone.{name}': value for name, value in weights.items()}
    content = io.BytesIO()
    torch.save({'meta': {'path': path, 'score': score}, 'state_dict': state}, content)
    _put(loop.work_dir / 'best.pth', content.getvalue())
    _put(loop.work_dir / 'best.json', json.dumps(dict(path=path, score=score, metric=loop.metric, backbone=settings)))
    snippet = Config(dict(model=dict(backbone=settings))).pretty_text
    _put(
        loop.work_dir / 'best.py', f'# {loop.metric} {score:.4f} with the weights of the supernet, best.pth\n{snippet}'
    )
    tables = {key: settings[key] for key in TABLES if key in settings}
    for name, cfg in loop.targets.items():
        backbone = cfg.model.backbone
        moved = tuple(backbone.get('stage_blocks') or ()) != tuple(tables['stage_blocks'])
        if backbone.get('init_cfg') and moved:  # weights of other blocks would be loaded in part, silently
            backbone.update(init_cfg=None, frozen_stages=-1)
            loop.runner.logger.warning(
                f'{name}: without init_cfg; tools/model_converters/resnet_to_scr.py makes weights'
            )
        for key in TABLES:
            backbone.pop(key, None)
        backbone.update(ConfigDict(tables))
        _put(loop.work_dir / 'best' / f'{name}.py', cfg.pretty_text)
    return settings


def write_stage_search(loop: 'StageSearchLoop', scored: Sequence[tuple[Path, float]], noise: Sequence[float]) -> None:
    """The result of a stage search, and its report: a table, and pictures of scores against costs."""
    (best, score), anchor = scored[0], loop.supernet.anchor
    write(loop, best, score)
    costs = {path: loop.costs(path) for path, _ in scored}
    rows: list[dict[str, Any]] = [
        {
            'rank': rank,
            'allocation': ', '.join(map(str, path)) + (' (anchor)' if path == anchor else ''),
            loop.metric: f'{value:.4f}',
            'parameters': f'{costs[path][0]:,}',
            'MACs': f'{costs[path][1] / 1e6:,.1f} M',
        }
        for rank, (path, value) in enumerate(scored, 1)
    ]
    shown = rows[:20] + [row for row in rows[20:] if row['allocation'].endswith('(anchor)')]
    mean, spread = _mean_and_spread(noise)
    height, width = loop.costs.shape
    lines = [
        f'# Stage search: {", ".join(map(str, best))}',
        '',
        f'{len(scored)} allocations with the budget {loop.space.budget}, scored with the weights of the supernet and '
        f'batch norm statistics of {loop.recalibration or "no"} training batches. The anchor {anchor}, {len(noise)} '
        f'times with other batches: {mean:.4f} +- {spread:.4f}; smaller differences are noise.',
        '',
        f'Parameters and MACs are of the backbone, at the width of the supernet, {height}x{width}.',
        '',
        *table(shown),
        '',
        '![scores against costs](ranking.png)',
        '',
        *_files(loop),
    ]  # fmt: skip
    _plot_ranking(loop, scored, costs, spread, loop.work_dir / 'ranking.png')
    _put(loop.work_dir / 'report.md', '\n'.join(lines))
    loop.runner.logger.info(f'found {best}: {score:.4f}; see {loop.work_dir / "report.md"}')


def write_op_search(loop: 'GreedyOpSearchLoop', steps: Sequence[BeamStep]) -> None:
    """The result of an operation search, and its report: the beam's history."""
    best, score = steps[-1].beam[0]
    settings = write(loop, best, score)
    rows = [
        {'block': step.block + 1, 'candidates': len(step.scored),
         'beam': '; '.join(f'{"".join(map(str, path))} {value:.4f}' for path, value in step.beam)}
        for step in steps
    ]  # fmt: skip
    lines = [
        f'# Operation search: {", ".join(map(str, best))}',
        '',
        f'Dilations of {len(best)} blocks out of {loop.ops}, stages {settings.get("stage_blocks")}, beam of '
        f'{loop.width}: {sum(len(step.scored) for step in steps)} candidates, {loop.metric} {score:.4f} at the end.',
        '',
        'After each block, the dilations so far (the rest is drawn at random):',
        '',
        *table(rows),
        '',
        '![the beam](beam.png)',
        '',
        *_files(loop),
    ]
    _plot_beam(steps, loop.metric, loop.work_dir / 'beam.png')
    _put(loop.work_dir / 'report.md', '\n'.join(lines))
    loop.runner.logger.info(f'found {best}: {score:.4f}; see {loop.work_dir / "report.md"}')


def _files(loop: 'SearchLoop') -> list[str]:
    return [
        '- `best.py`: the backbone at the width of the supernet; `best.pth`: its weights and those of the detector',
        *(f'- `best/{name}.py`: train it with `mmlight train`' for name in loop.targets),
        '',
    ]


def _put(path: File, content: str | bytes) -> None:
    AtomicBackend().put(content.encode() if isinstance(content, str) else content, path)


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the distance between the extremes."""
    return (sum(values) / len(values), (max(values) - min(values)) / 2) if values else (0.0, 0.0)


def _plot_ranking(
    loop: 'StageSearchLoop', scored: Sequence[tuple[Path, float]], costs: dict, spread: float, path: File
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout='constrained')
    special = {scored[0][0]: ('found', 'tab:red'), loop.supernet.anchor: ('anchor', 'tab:blue')}
    for index, (axes, label) in enumerate(zip(figure.subplots(1, 2, sharey=True), ('parameters (M)', 'MACs (M)'),
                                              strict=True)):  # fmt: skip
        axes.errorbar([costs[p][index] / 1e6 for p, _ in scored], [s for _, s in scored], spread, fmt='.', color='0.7')
        for blocks, score in scored:
            if blocks in special:
                name, colour = special[blocks]
                text = f'{name} {", ".join(map(str, blocks))}'
                axes.plot(costs[blocks][index] / 1e6, score, 'o', color=colour, label=text)
        axes.set(xlabel=f'{label} of the backbone', ylabel=loop.metric if not index else None)
        axes.legend()
    _save(figure, path)


def _plot_beam(steps: Sequence[BeamStep], metric: str, path: File) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout='constrained')
    axes = figure.subplots()
    for step in steps:
        for begun, score in step.scored:
            kept = (begun, score) in step.beam
            axes.plot(step.block + 1, score, f'C{begun[-1] - 1}' + ('o' if kept else '.'), alpha=1 if kept else 0.5)
    axes.plot([s.block + 1 for s in steps], [s.beam[0][1] for s in steps], color='0.5', zorder=0)
    for dilation in sorted({begun[-1] for step in steps for begun, _ in step.scored}):
        axes.plot([], [], f'C{dilation - 1}o', label=f'dilation {dilation}')
    axes.set(xlabel='block that is decided', ylabel=metric)
    axes.legend()
    _save(figure, path)


def _save(figure: Any, path: File) -> None:
    content = io.BytesIO()
    figure.savefig(content, format='png', dpi=110)
    _put(path, content.getvalue())
