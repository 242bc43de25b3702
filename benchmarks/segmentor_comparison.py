"""Segmentors side by side: published mIoU with its source, parameters and multiply-adds counted, latency measured in
turns.

Latency is that of the layers up to the logits, at an eighth or a quarter of the image's size, with batch normalisation
folded into the convolutions where that can be done; that of enlarging the logits and picking the labels is measured
once. Weights are random.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from mmlight.measure.complexity import Complexity, measure
from mmlight.runtime.inference import inference, network_and_shape
from mmlight.measure.contenders import parse, results
from mmlight.measure.latency import Latency, measure_latency
from mmlight.deploy.folding import fold_norms
from mmlight.runtime.config import load_config
from mmlight.errors import InputError

OURS = (
    'dfanet_a_4xb12-80k_cityscapes-1024x1024',
    'dfanet_b_4xb12-80k_cityscapes-1024x1024',
    'bisenet_xception39_4xb4-160k_cityscapes-1024x1024',
    'bisenet_r18_4xb4-160k_cityscapes-1024x1024',
    'bisenet_mobilenet-v2_4xb4-160k_cityscapes-1024x1024',
    'bisenet_shufflenet-v2-x1_4xb4-160k_cityscapes-1024x1024',
)
BASELINES = (
    'mmseg::bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024.py',
    'mmseg::bisenetv2/bisenetv2_fcn_4xb4-160k_cityscapes-1024x1024.py',
    'mmseg::stdc/stdc1_in1k-pre_4xb12-80k_cityscapes-512x1024.py',
    'mmseg::stdc/stdc2_in1k-pre_4xb12-80k_cityscapes-512x1024.py',
    'mmseg::pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py',
    'mmseg::pidnet/pidnet-m_2xb6-120k_1024x1024-cityscapes.py',
    'mmseg::pidnet/pidnet-l_2xb6-120k_1024x1024-cityscapes.py',
    'mmseg::ddrnet/ddrnet_23-slim_in1k-pre_2xb6-120k_cityscapes-1024x1024.py',
    'mmseg::ddrnet/ddrnet_23_in1k-pre_2xb6-120k_cityscapes-1024x1024.py',
    'mmseg::fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py',
    'mmseg::icnet/icnet_r18-d8-in1k-pre_4xb2-160k_cityscapes-832x832.py',
    'mmseg::icnet/icnet_r50-d8-in1k-pre_4xb2-160k_cityscapes-832x832.py',
    'mmseg::cgnet/cgnet_fcn_4xb8-60k_cityscapes-512x1024.py',
    'mmseg::erfnet/erfnet_fcn_4xb4-160k_cityscapes-512x1024.py',
)
"""Real-time segmentors of mmseg 1.2.2 with published results on Cityscapes."""

LABELS = 'logits to labels'
"""What is timed beside the networks: one bilinear enlargement of logits of 1/8, and the largest of each pixel."""


@dataclass(frozen=True)
class Published:
    """A published mIoU, the data set that it was measured on, and where the figure stands."""

    miou: float
    dataset: str
    source: str


@dataclass(frozen=True)
class Row:
    """One segmentor.

    Attributes:
        name: of the config.
        published: None where its metafile has no mIoU of others.
        complexity: parameters and multiply-adds, without heads that only the loss uses.
        latency: number of threads -> milliseconds an image.
        folded: whether the norms were folded into the convolutions.
    """

    name: str
    published: Published | None
    complexity: Complexity
    latency: dict[int, Latency]
    folded: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        times = {threads: one.to_dict() for threads, one in self.latency.items()}
        published = asdict(self.published) if self.published else None
        counted = self.complexity.to_dict()
        return dict(name=self.name, published=published, complexity=counted, latency=times, folded=self.folded)


def find(segmentor: str) -> Path:
    """Path or name of a config -> its path; ``mmseg::FOLDER/FILE`` stands for one of mmseg's own."""
    return parse(segmentor)[0]


def published(config: Path) -> Published | None:
    """The first mIoU of others that the config's metafile gives: single scale, on Cityscapes val for mmseg's."""
    found = next((result for result in results(config, 'mIoU') if not result.own), None)
    return found and Published(found.value, found.dataset, found.source)


def compare(
    segmentors: Sequence[str] = (*OURS, *BASELINES),
    shape: tuple[int, int] = (512, 1024),
    threads: Sequence[int] = (1, 2),
    rounds: int = 5,
    repeats: int = 3,
) -> tuple[list[Row], dict[int, Latency]]:
    """Count and time all segmentors in one run on the CPU, batch 1, one number of threads after the other.

    Args:
        segmentors: as :func:`find` takes them.
        shape: (height, width) of the image.
        threads: numbers of threads.
        rounds: as for :func:`~mmlight.measure.latency.measure_latency`.
        repeats: as there.

    Returns:
        A row each, in order of their multiply-adds, and what :data:`LABELS` takes by number of threads.

    Raises:
        InputError: a segmentor is named twice, or as in :func:`find` and
            :func:`~mmlight.measure.complexity.measure`.
    """
    paths = [find(segmentor) for segmentor in segmentors]
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):
        raise InputError(f'segmentors: {next(n for n in names if names.count(n) > 1)} is given twice')
    logits = torch.rand(1, 19, -(-shape[0] // 8), -(-shape[1] // 8))
    functions = {LABELS: lambda: F.interpolate(logits, shape, mode='bilinear', align_corners=False).argmax(1)}
    counted, folded, latency = {}, {}, {}
    before = torch.get_num_threads()
    with ExitStack() as stack:
        for name, path in zip(names, paths, strict=True):
            network, _ = network_and_shape(load_config(path), shape)
            counted[name] = measure(network, shape)
            fused = fold_norms(network, (128, 256))
            folded[name] = fused is not None
            functions[name], _ = stack.enter_context(inference(fused or network, shape))
        stack.callback(torch.set_num_threads, before)
        for number in threads:
            torch.set_num_threads(number)
            latency[number] = measure_latency(functions, rounds, warmup_rounds=1, repeats=repeats)
    rows = [
        Row(name, published(path), counted[name], {n: found[name] for n, found in latency.items()}, folded[name])
        for name, path in zip(names, paths, strict=True)
    ]
    return sorted(rows, key=lambda row: row.complexity.macs), {n: found[LABELS] for n, found in latency.items()}


def markdown(rows: Sequence[Row], labels: dict[int, Latency], on: dict[str, Any]) -> str:
    """The rows as a Markdown table, and below it what was measured on which machine
    (:func:`~mmlight.measure.latency.machine`)."""
    threads = list(labels)
    columns = ['config', 'published mIoU', 'of', 'parameters (M)', 'size (MiB)', 'MACs (G)']
    columns += [f'ms, {number} thread{"s" * (number > 1)}' for number in threads] + ['ms per GMAC']
    lines = ['| ' + ' | '.join(columns) + ' |', '|' + '---|' * len(columns)]
    for row in rows:
        miou, of = (f'{row.published.miou:.2f}', row.published.dataset) if row.published else ('-', '-')
        parameters, macs = row.complexity.parameters, row.complexity.macs
        cells = [
            row.name + ('' if row.folded else '*'),
            miou,
            of,
            f'{parameters / 1e6:.2f}',
            f'{parameters * 4 / 2**20:.2f}',
            f'{macs / 1e9:.4g}',
        ]
        cells += [_time(row.latency[number]) for number in threads]
        cells += [f'{row.latency[threads[0]].p50 / macs * 1e9:.0f}']
        lines.append('| ' + ' | '.join(cells) + ' |')
    height, width = rows[0].complexity.shape
    calls = sum(times.calls for times in rows[0].latency[threads[0]].repeats)
    setting = ', '.join(f'{key} {value}' for key, value in on.items() if key != 'threads')
    after = ', '.join(f'{_time(found)} ms with {number}' for number, found in labels.items())
    lines += [
        '',
        f'Measured in one run at {height} x {width}, {calls} calls each in turns, batch 1, norms folded but for *:',
        f'{setting}. Milliseconds are medians up to the logits; where the medians of the repeats differ by more than',
        f'3 %, by how much. Enlarging logits of 1/8 and picking the labels adds, in threads: {after}. The last column',
        f'is for {threads[0]} thread{"s" * (threads[0] > 1)}.',
        '',
        'Sources of the published figures:',
        '',
    ]
    sources: dict[str, list[str]] = {}
    for row in rows:
        if row.published:
            sources.setdefault(row.published.source, []).append(row.name)
    lines += [f'* {source}: {", ".join(names)}' for source, names in sources.items()]
    return '\n'.join(lines)


def _time(found: Latency) -> str:
    return f'{found.p50:.1f}' + ('' if found.steady else f' (± {found.spread:.0%})')
