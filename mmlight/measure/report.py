"""A folder that compares networks: a Markdown table and one HTML page that needs nothing beside it."""

from __future__ import annotations

import base64
import html
import importlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2

from mmlight.errors import InputError
from mmlight.files import put
from mmlight.measure.benchmark import Plan, Row, benchmark, environment
from mmlight.measure.contenders import Result, parse, results
from mmlight.measure.report_page import PAGE
from mmlight.measure.training_log import TrainingLog, read_log
from mmlight.runtime.checkpoint import latest_checkpoint
from mmlight.runtime.config import innermost, load_config
from mmlight.runtime.inference import evaluated_shape
from mmlight.runtime.predict import predict
from mmlight.runtime.sources import find_images
from mmlight.weights.catalogue import for_config

METRICS = {'detection': ('box AP', 'bbox_mAP'), 'segmentation': ('mIoU', 'mIoU')}
"""Task -> the metric's name in metafiles and in logs."""

AXES = {
    'latency': 'latency (ms)',
    'macs': 'multiply-adds (G)',
    'parameters': 'parameters (M)',
}
"""What accuracy can be plotted against: key of an entry -> title."""

QUICK = Plan(columns=('fused',), seconds=2.0, warmup_seconds=0.5)
"""Ten networks take some three minutes."""

COLUMNS = (
    'model',
    'task',
    'input',
    'accuracy',
    'of',
    'parameters (M)',
    'MACs (G)',
    'net (ms)',
    'end to end (ms)',
    'MiB',
)


@dataclass
class Entry:
    """One network of a report.

    Attributes:
        row: figures that were measured.
        result: its accuracy, None if nothing tells it; that of a work dir before that of a metafile.
        log: of its training.
        weights: checkpoint.
        config: path.
        pictures: image -> the picture with the predictions drawn.
        judged_at: (height, width) that the config evaluates at, where the figures are of another input.
    """

    row: Row
    result: Result | None
    config: Path
    log: TrainingLog | None = None
    weights: Path | None = None
    pictures: dict[Path, Path] = field(default_factory=dict)
    judged_at: tuple[int, int] | None = None

    def time(self, part: str) -> float | None:
        """Milliseconds of the fastest column measured."""
        found = [
            parts[part].p50
            for batches in self.row.latency.values()
            for columns in batches.values()
            for parts in columns.values()
            if part in parts
        ]
        return min(found, default=None)

    def to_dict(self) -> dict[str, Any]:
        """What the page plots."""
        row, result = self.row, self.result
        return dict(
            name=row.name,
            task=row.task,
            accuracy=result and result.value,
            dataset=result and result.dataset,
            source=result and result.source,
            judged_at=_size(self.judged_at) if self.judged_at and result else None,
            parameters=row.parameters / 1e6,
            macs=row.macs / 1e9,
            latency=self.time('net'),
            end_to_end=self.time('e2e'),
        )

    def cells(self) -> list[str]:
        """Of the table, in the order of :data:`COLUMNS`."""
        found, row = self.to_dict(), self.row

        def number(value: float | None, digits: int) -> str:
            return '-' if value is None else f'{value:.{digits}f}'

        counts = [number(found['parameters'], 2), f'{found["macs"]:.4g}']
        times = [number(found['latency'], 1), number(found['end_to_end'], 1), number(row.memory, 0)]
        at = f', at {found["judged_at"]}' if found['judged_at'] else ''
        accuracy = [number(found['accuracy'], 1), (found['dataset'] or '-') + at]
        return [row.name, row.task, _size(row.shape), *accuracy, *counts, *times]


def _size(shape: Sequence[int]) -> str:
    return ' x '.join(map(str, shape))


def make_report(
    configs: Sequence[str],
    out: str | Path,
    work_dirs: Sequence[str | Path] = (),
    images: Sequence[str | Path] = (),
    plan: Plan = QUICK,
) -> list[Entry]:
    """Measure networks and write ``report.md``, ``index.html`` and ``figures.json``.

    Args:
        configs: as :func:`~mmlight.measure.contenders.parse` takes them.
        out: folder.
        work_dirs: of trainings; each adds the config that lies in it, its log, its metric and its checkpoint.
        images: files, folders or patterns; drawn are the predictions of every network that has a checkpoint, or of
            which the catalogue has weights.
        plan: how latency is measured.

    Raises:
        InputError: plotly is not installed, or a config, work dir or image cannot be used.
    """
    plotly = _plotly()
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'--out {out}: cannot be created ({error.strerror})') from error
    works = [_work_dir(Path(folder)) for folder in work_dirs]
    files = find_images(list(images)) if images else []
    contenders = [*configs, *(str(config) for config, *_ in works)]
    rows = benchmark(contenders, plan)
    labels = [*(_size(row.shape) for row in rows[: len(configs)]), *(Path(d).name for d in work_dirs)]
    names = [row.name for row in rows]
    for row, label in zip(rows, labels, strict=True):  # one config at two sizes, or trained twice
        if names.count(row.name) > 1:
            row.name = f'{row.name} ({label})'
    entries = []
    for contender, row in zip(configs, rows, strict=False):
        config = parse(contender)[0]
        entry = Entry(row, next(iter(results(config, METRICS[row.task][0])), None), config)
        with suppress(InputError):  # no fixed size
            own = evaluated_shape(load_config(config))
            entry.judged_at = None if own == row.shape else own
        entries.append(entry)
    for (config, log, weights), row in zip(works, rows[len(configs) :], strict=True):
        entries.append(Entry(row, _best(log, row.task, config), config, log, weights))
    _short(entries)
    for entry in entries:
        published = for_config(Path(entry.config).name.removesuffix('.py'))
        found_weights: Path | str | None = entry.weights or ('published' if published else None)
        if files and found_weights:
            found = predict(
                entry.config, files, found_weights, out / 'predictions' / entry.row.name, device=plan.device
            )
            unread = {file for file, _ in found.failed}
            kept = [file for file in files if str(file) not in unread]
            entry.pictures = dict(zip(kept, found.pictures, strict=True))
    on = environment(plan.device)
    put(markdown(entries, on) + '\n', out / 'report.md')
    put(page(entries, on, plotly), out / 'index.html')
    figures = [dict(entry.to_dict(), row=entry.row.to_dict()) for entry in entries]
    put(json.dumps({'environment': on, 'entries': figures}, indent=1), out / 'figures.json')
    return entries


def _plotly() -> ModuleType:
    try:
        return importlib.import_module('plotly.offline')
    except ImportError as error:
        raise InputError(f'plotly is not installed: pip install plotly ({error})') from error


def _work_dir(folder: Path) -> tuple[Path, TrainingLog | None, Path | None]:
    """Config, newest log and best checkpoint, else the latest, of a training."""
    configs = sorted(folder.glob('*.py')) if folder.is_dir() else []
    if len(configs) != 1:
        raise InputError(f'--work-dirs {folder}: needs the one config of a training, found {len(configs)}')
    logs = [log for log in sorted(folder.glob('*/vis_data/scalars.json')) if log.stat().st_size]
    best = sorted(folder.glob('best_*.pth'), key=lambda file: file.stat().st_mtime)
    return configs[0], read_log(logs[-1]) if logs else None, best[-1] if best else latest_checkpoint(folder)


def _best(log: TrainingLog | None, task: str, config: Path) -> Result | None:
    try:
        values = log.curve(METRICS[task][1])[1] if log else []
    except InputError:  # never evaluated
        return None
    # mmdet logs shares, mmseg percent
    scale = 100 if task == 'detection' else 1
    if not log or not values:
        return None
    return Result(scale * max(values), _judged_on(config), f'best of {log.path}', own=True)


def _judged_on(config: Path) -> str:
    """The data that a training was judged on: its annotation file, or the folder of its labels, with as much of the
    path as tells it from others."""
    dataset = innermost((load_config(config).get('val_dataloader') or {}).get('dataset') or {})
    prefix = dataset.get('data_prefix') or {}
    file = dataset.get('ann_file') or prefix.get('seg_map_path') or prefix.get('img') or ''
    path = Path(dataset.get('data_root') or '', str(file))
    return str(path) if path.parts else 'its own validation data'


def _short(entries: Sequence[Entry]) -> None:
    """Give equal files (a copy lies in each run's folder) one name, and leave out what all names have in front."""
    first: dict[bytes, str] = {}
    for entry in entries:
        if entry.result and entry.result.own and (file := Path(entry.result.dataset)).is_file():
            same = first.setdefault(sha256(file.read_bytes()).digest(), entry.result.dataset)
            entry.result = replace(entry.result, dataset=same)
    own = [entry.result for entry in entries if entry.result and entry.result.own and '/' in entry.result.dataset]
    folders = [os.path.dirname(result.dataset) for result in own]
    front = (
        os.path.dirname(os.path.commonpath(folders)) if folders and len(set(map(os.path.isabs, folders))) == 1 else ''
    )
    for entry in entries:
        if entry.result in own and front:
            entry.result = replace(entry.result, dataset=os.path.relpath(entry.result.dataset, front))


def markdown(entries: Sequence[Entry], on: dict[str, Any]) -> str:
    """The table and its sources."""
    lines = ['# Comparison', '', '| ' + ' | '.join(COLUMNS) + ' |', '|' + '---|' * len(COLUMNS)]
    lines += ['| ' + ' | '.join(entry.cells()) + ' |' for entry in entries]
    lines += ['', f'Measured in one run, in turns; {", ".join(f"{key} {value}" for key, value in on.items())}.', '']
    sources: dict[str, list[str]] = {}
    for entry in entries:
        if entry.result:
            sources.setdefault(entry.result.source, []).append(entry.row.name)
    return '\n'.join(lines + [f'* {source}: {", ".join(names)}' for source, names in sources.items()])


def page(entries: Sequence[Entry], on: dict[str, Any], plotly: ModuleType) -> str:
    """The HTML page: sortable table, accuracy against cost, training curves, predictions side by side."""
    head = ''.join(f'<th>{html.escape(name)}</th>' for name in COLUMNS)
    body = '\n'.join(
        '<tr>' + ''.join(f'<td>{html.escape(cell)}</td>' for cell in entry.cells()) + '</tr>' for entry in entries
    )
    data = {
        'entries': [entry.to_dict() for entry in entries],
        'axes': AXES,
        'metrics': {task: names[0] for task, names in METRICS.items()},
        'curves': _curves(entries),
    }
    parts = {
        'DATA': json.dumps(data).replace('<', '\\u003c'),
        'HEAD': head,
        'BODY': body,
        'PREDICTIONS': _pictures(entries),
        'SETTING': html.escape(', '.join(f'{key} {value}' for key, value in on.items())),
        'PLOTLY': plotly.get_plotlyjs(),  # last: it may hold anything
    }
    filled = PAGE
    for name, text in parts.items():
        filled = filled.replace(f'<!--{name}-->', text, 1)
    return filled


def _curves(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Loss and metric of every training: name, key, steps, values, unit of the steps, data that a metric is of."""
    found = []
    for entry in entries:
        for key in ('loss', METRICS[entry.row.task][1]):
            try:
                steps, values, unit = entry.log.curve(key) if entry.log else ([], [], '')
            except InputError:
                continue
            if steps:
                on = entry.result and entry.result.dataset if key != 'loss' else None
                found.append(dict(name=entry.row.name, key=key, steps=steps, values=values, unit=unit, dataset=on))
    return found


def _pictures(entries: Sequence[Entry], width: int = 480) -> str:
    shown = [entry for entry in entries if entry.pictures]
    files = list(dict.fromkeys(file for entry in shown for file in entry.pictures))
    if not files:
        return '<p>No network has a checkpoint, or no images were given.</p>'
    rows = ['<tr><th></th>' + ''.join(f'<th>{html.escape(entry.row.name)}</th>' for entry in shown) + '</tr>']
    for file in files:
        cells = [_embedded(entry.pictures[file], width) if file in entry.pictures else '' for entry in shown]
        rows.append(f'<tr><th>{html.escape(file.name)}</th>' + ''.join(f'<td>{cell}</td>' for cell in cells) + '</tr>')
    return f'<table class="pictures">{"".join(rows)}</table>'


def _embedded(picture: Path, width: int) -> str:
    image: Any = cv2.imread(str(picture))
    scale = min(width / image.shape[1], 1)
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    data = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(data).decode()}">'
