"""Detectors side by side: published AP with its source, parameters and multiply-adds, latency measured in turns.

Latency is that of the layers with batch normalisation folded into the convolutions: no image loading, no box decoding,
no NMS; a second stage runs on as many proposals as its ``test_cfg`` allows. Weights are random.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmlight.measure.benchmark import BEGIN, END, fill
from mmlight.measure.complexity import Complexity, measure
from mmlight.runtime.inference import inference, network_and_shape
from mmlight.measure.contenders import parse, results
from mmlight.measure.latency import Latency, measure_latency
from mmlight.deploy.folding import fold_norms
from mmlight.runtime.config import load_config
from mmlight.errors import InputError

BASELINES = (
    'mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py@320',
    'mmdet::yolo/yolov3_mobilenetv2_8xb24-320-300e_coco.py@320',
    'mmdet::yolo/yolov3_mobilenetv2_8xb24-ms-416-300e_coco.py@416',
    'mmdet::ssd/ssd300_coco.py@300',
    'mmdet::centernet/centernet_r18_8xb16-crop512-140e_coco.py@512',
    'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py@800x1280',
    'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py@416',
    'mmdet::yolox/yolox_s_8xb8-300e_coco.py@640',
    'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py@640',
    'mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py@640',
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py@800x1280',
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_ms-3x_coco.py@800x1280',
    'mmdet::faster_rcnn/faster-rcnn_r101_fpn_1x_coco.py@800x1280',
    'mmdet::faster_rcnn/faster-rcnn_r50-caffe-dc5_1x_coco.py@800x1280',
    'mmdet::faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py@800x1280',
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_ohem_1x_coco.py@800x1280',
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py@800x1280',
    'mmdet::yolof/yolof_r50-c5_8xb8-1x_coco.py@800x1280',
)
"""Detectors of mmdet 3.3.0 to compare light ones with: ten light ones, eight of Light-Head R-CNN's weight."""


@dataclass(frozen=True)
class Published:
    """A published box AP: its value, the data set that it was measured on, and where the figure stands."""

    ap: float
    dataset: str
    source: str


@dataclass(frozen=True)
class Row:
    """One detector.

    Attributes:
        name: of the config.
        published: None where its metafile has no box AP.
        complexity: parameters and multiply-adds.
        latency: milliseconds an image.
    """

    name: str
    published: Published | None
    complexity: Complexity
    latency: Latency

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        published = asdict(self.published) if self.published else None
        counted, latency = self.complexity.to_dict(), self.latency.to_dict()
        return dict(name=self.name, published=published, complexity=counted, latency=latency)


def published(config: Path) -> Published | None:
    """The first box AP of others that the config's metafile gives."""
    found = next((result for result in results(config, 'box AP') if not result.own), None)
    return found and Published(found.value, found.dataset, found.source)


def compare(detectors: Sequence[str] = BASELINES, rounds: int = 5, repeats: int = 3, device: str = 'cpu') -> list[Row]:
    """Count and time all detectors in one run, batch 1; a row each, in order of their multiply-adds.

    Args:
        detectors: as :func:`~mmlight.measure.contenders.parse` takes them; without a size it is that of the test
            pipeline.
        rounds: as for :func:`~mmlight.measure.latency.measure_latency`.
        repeats: as there.
        device: where to time them. All of them are in its memory at once.

    Raises:
        InputError: a detector is named twice, or as in :func:`~mmlight.measure.contenders.parse` and
            :func:`~mmlight.measure.complexity.measure`.
    """
    found = [parse(detector) for detector in detectors]
    names = [path.stem for path, _ in found]
    if len(set(names)) < len(names):
        raise InputError(f'detectors: {next(n for n in names if names.count(n) > 1)} is given twice')
    counted, functions = {}, {}
    with ExitStack() as stack:
        for name, (path, shape) in zip(names, found, strict=True):
            network, shape = network_and_shape(load_config(path), shape)
            counted[name] = measure(network, shape)
            network = fold_norms(network, shape) or network
            functions[name], _ = stack.enter_context(inference(network.to(device), shape))
        latency = measure_latency(functions, rounds, warmup_rounds=1, repeats=repeats, device=device)
    rows = [Row(path.stem, published(path), counted[path.stem], latency[path.stem]) for path, _ in found]
    return sorted(rows, key=lambda row: row.complexity.macs)


def markdown(rows: Sequence[Row], on: dict[str, Any]) -> str:
    """The rows as a Markdown table, and below it what was measured on which machine, and the sources."""
    cells = ['config', 'published box AP', 'on', 'parameters (M)', 'MACs (G)', 'input', 'latency (ms)', '95 % below']
    table = [cells, ['---'] * len(cells)]
    for row in rows:
        counted, latency = row.complexity, row.latency
        ap = [f'{row.published.ap:.1f}', row.published.dataset] if row.published else ['', '']
        size = ' x '.join(map(str, counted.shape)) + (f', {counted.rois} RoIs' if counted.rois else '')
        time = f'{latency.p50:.1f}' + ('' if latency.steady else f' (spread {latency.spread:.0%})')
        counts = [f'{counted.parameters / 1e6:.2f}', f'{counted.macs / 1e9:.4g}']
        table.append([row.name, *ap, *counts, size, time, f'{latency.p95:.1f}'])
    calls = sum(times.calls for times in rows[0].latency.repeats)
    setting = ', '.join(f'{key} {value}' for key, value in on.items())
    lines = [f'| {" | ".join(cells)} |' for cells in table]
    lines += ['', f'Measured in one run, batch 1, {calls} calls each in turns; {setting}. Latency is the median; the']
    lines += ["spread is that of the repeats' medians, given above 3 %. Sources of the published figures:", '']
    sources: dict[str, list[str]] = {}
    for row in rows:
        if row.published:
            sources.setdefault(row.published.source, []).append(row.name)
    return '\n'.join(lines + [f'* {source}: {", ".join(names)}' for source, names in sources.items()])
