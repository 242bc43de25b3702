"""Latency, throughput and memory of any mmdet, mmseg or mmlight configs, without data and without checkpoints.

The protocol: synthetic images on the device, random weights with which scores and labels vary, all networks and all
variants of them in turns in one run, warm-up, several repeats whose spread is told. Ratios within a run hold on a
machine that is not idle; milliseconds of different runs do not compare.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModel

from mmlight.deploy.export import harden
from mmlight.deploy.folding import PARTS, available, check, fold_norms, runnable
from mmlight.deploy.random_weights import liven
from mmlight.errors import InputError
from mmlight.files import put
from mmlight.measure.complexity import measure
from mmlight.measure.contenders import parse
from mmlight.measure.latency import Latency, machine, measure_latency
from mmlight.runtime.config import load_config, one_line
from mmlight.runtime.inference import network_and_shape


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        columns: names in :data:`~mmlight.deploy.folding.VARIANTS`; empty: what the device can have, but ``compile``.
        parts: of :data:`~mmlight.deploy.folding.PARTS`.
        threads: numbers of CPU threads, one after the other.
        batch: numbers of images, likewise.
        iterations, seconds: a repeat ends after so many calls of each function, or after so many seconds of each.
        warmup_seconds: of each function, on average, before the first repeat: with 2, some 50 calls of networks that
            take 40 ms, and more of faster ones. 0: no warm-up.
        repeats: how often.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
    """

    columns: Sequence[str] = ()
    parts: Sequence[str] = PARTS
    threads: Sequence[int] = (1,)
    batch: Sequence[int] = (1,)
    iterations: int = 300
    seconds: float = 6.0
    warmup_seconds: float = 2.0
    repeats: int = 3
    device: str = 'cpu'

    def checked(self) -> Plan:
        """With the columns filled in.

        Raises:
            InputError: a value cannot work; it is named.
        """
        device = torch.device(self.device)
        columns = tuple(self.columns) or tuple(available(device))
        for column in columns:
            check(column, device)
        for part in self.parts:
            if part not in PARTS:
                raise InputError(f'--parts {part}: allowed are {", ".join(PARTS)}')
        for name in ('threads', 'batch'):
            if not getattr(self, name) or min(getattr(self, name)) < 1:
                raise InputError(f'--{name}: {list(getattr(self, name))}; numbers of at least 1 are needed')
        for name in ('iterations', 'repeats'):
            if getattr(self, name) < 1:
                raise InputError(f'--{name} {getattr(self, name)}: must be 1 or more')
        return Plan(**{**asdict(self), 'columns': columns})


@dataclass
class Row:
    """One network.

    Attributes:
        name: of the config.
        task: ``detection`` or ``segmentation``.
        shape: (height, width) of the image.
        parameters, macs: as :func:`~mmlight.measure.complexity.measure` counts them.
        folded: whether norms could be folded.
        memory: MiB that one call, end to end where that is measured, allocates at its peak in the first column that
            PyTorch runs, weights left out.
        latency: threads -> batch -> column -> part -> what was measured, milliseconds a batch.
        missing: ``column part`` -> why there is no such figure.
    """

    name: str
    task: str
    shape: tuple[int, int]
    parameters: int
    macs: int
    folded: bool
    memory: float | None = None
    latency: dict[int, dict[int, dict[str, dict[str, Latency]]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values; numbers that are keys become strings."""

        def plain(node: object) -> object:
            if isinstance(node, dict):
                return {str(key): plain(value) for key, value in node.items()}
            return node.to_dict() if isinstance(node, Latency) else node

        own = {
            name: getattr(self, name) for name in ('name', 'task', 'parameters', 'macs', 'folded', 'memory', 'missing')
        }
        return dict(own, shape=list(self.shape), latency=plain(self.latency))


def benchmark(configs: Sequence[str], plan: Plan = Plan()) -> list[Row]:
    """Measure all configs in one run; a row each, in the given order.

    Args:
        configs: as :func:`~mmlight.measure.contenders.parse` takes them; without a size it is that of the test
            pipeline.
        plan: how.

    Raises:
        InputError: no config is given, one is given twice or cannot be built, or the plan cannot work.
    """
    plan = plan.checked()
    found = [parse(config) for config in configs]
    if not found:
        raise InputError('no configs given')
    if len(set(found)) < len(found):
        raise InputError(f'configs: {next(one for one in found if found.count(one) > 1)[0].stem} is given twice')
    if torch.device(plan.device).type == 'cuda':
        torch.backends.cudnn.benchmark = True  # and stays so: `environment` tells it
    prepared = [_prepare(path, shape, plan.device) for path, shape in found]
    before = torch.get_num_threads()
    exported: dict[Any, Any] = {}
    try:
        for threads in plan.threads:
            torch.set_num_threads(threads)
            for batch in plan.batch:
                _measure(prepared, plan, threads, batch, exported)
    finally:
        torch.set_num_threads(before)
    rows = [row for row, *_ in prepared]
    if not any(row.latency for row in rows):
        raise InputError(f'nothing can be measured: {next(iter(rows[0].missing.values()))}')
    return rows


def _prepare(path: Path, shape: tuple[int, int] | None, device: str) -> tuple[Row, BaseModel, BaseModel]:
    """The row, the network as it is, and with norms folded."""
    cfg = load_config(path)
    harden(cfg.model)
    network, shape = network_and_shape(cfg, shape)
    counted = measure(network, shape)
    network.eval()
    try:
        liven(network, shape)
    except Exception as error:  # a head that takes more than maps, each in its own way; its norms stay as they were
        print(f'{path.stem}: the statistics of its norms are not measured ({one_line(error)})', file=sys.stderr)
    folded = fold_norms(network, shape)
    segments = hasattr(network, 'decode_head')
    row = Row(
        path.stem,
        'segmentation' if segments else 'detection',
        shape,
        counted.parameters,
        counted.macs,
        folded is not None,
    )
    return row, network.to(device), (folded or network).to(device)


def _measure(
    prepared: Sequence[tuple[Row, BaseModel, BaseModel]], plan: Plan, threads: int, batch: int, exported: dict
) -> None:
    """Fill in the figures for one number of threads and images."""
    functions: dict[tuple[int, str, str], Callable[[], object]] = {}
    with ExitStack() as stack:
        for index, (row, network, folded) in enumerate(prepared):
            for column in plan.columns:
                for part in plan.parts:
                    try:
                        context = runnable(
                            network if column == 'eager' else folded, row.shape, column, part, batch, threads, exported
                        )
                        function = stack.enter_context(context)
                        function()
                    except Exception as error:  # a compiler's or a runtime's; the others are measured none the less
                        row.missing[f'{column} {part}'] = one_line(error)
                        continue
                    functions[index, column, part] = function
                    if row.memory is None and column != 'onnx' and part == plan.parts[-1]:
                        row.memory = peak_memory(function, plan.device)
        if not functions:
            return
        device = torch.device(plan.device)
        if plan.warmup_seconds:
            seconds = plan.warmup_seconds
            measure_latency(functions, 1, seconds, 0, 0.0, 1, device, limit=seconds)
        found = measure_latency(functions, plan.iterations, 0.0, 0, 0.0, plan.repeats, device, plan.seconds)
    for (index, column, part), latency in found.items():
        row = prepared[index][0]
        of_batch = row.latency.setdefault(threads, {}).setdefault(batch, {})
        of_batch.setdefault(column, {})[part] = latency


def peak_memory(function: Callable[[], object], device: str | torch.device = 'cpu') -> float:
    """MiB that PyTorch allocates at the peak of one call, beyond what was allocated before it."""
    device = torch.device(device)
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        function()
        torch.cuda.synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        function()
    current = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == '[memory]':
            current += event.nbytes()
            peak = max(peak, current)
    return peak / 2**20


def environment(device: str) -> dict[str, Any]:
    """What the figures depend on besides the networks: JSON-able values by name."""
    packages = {}
    for name in ('mmdet', 'mmsegmentation', 'mmengine', 'mmcv', 'mmcv-lite', 'onnxruntime'):
        try:
            packages[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found = machine(device)
    found.pop('threads')
    return found | {'system': platform.system(), 'python': platform.python_version()} | packages


def markdown(rows: Sequence[Row], plan: Plan, on: dict[str, Any]) -> str:
    """A table for each number of threads and images, and below them what was measured and what is missing."""
    plan = plan.checked()
    lines = []
    for threads in plan.threads:
        for batch in plan.batch:
            if len(plan.threads) * len(plan.batch) > 1:
                lines += [f'{threads} thread{"s" * (threads > 1)}, batch {batch}:', '']
            lines += [*_table(rows, plan, threads, batch), '']
    both = ' / '.join({'net': "up to the heads' outputs", 'e2e': 'to boxes or labels'}[part] for part in plan.parts)
    calls = [times.calls for row in rows for x in _latencies(row) for times in x.repeats]
    setting = ', '.join(f'{key} {value}' for key, value in on.items())
    lines += [
        f'Milliseconds a batch, medians; {both}. All in turns in one run, {min(calls)} calls in each of {plan.repeats}',
        f'repeats; ± where the repeats differ by more than 3 %. Memory: peak of a call, MiB. {setting}.',
    ]
    missing: dict[str, list[str]] = {}
    for row in rows:
        for what, why in row.missing.items():
            missing.setdefault(f'{what}: {why}', []).append(row.name)
    lines += [f'* no {reason} ({", ".join(names)})' for reason, names in missing.items()]
    return '\n'.join(lines)


def _latencies(row: Row) -> list[Latency]:
    return [
        x
        for batches in row.latency.values()
        for columns in batches.values()
        for parts in columns.values()
        for x in parts.values()
    ]


def _table(rows: Sequence[Row], plan: Plan, threads: int, batch: int) -> list[str]:
    header = ['config', 'input', 'parameters (M)', 'MACs (G)', *plan.columns, 'images/s', 'memory']
    table = [header, ['---'] + ['---:'] * (len(header) - 1)]
    for row in rows:
        columns = row.latency.get(threads, {}).get(batch, {})
        cells = [_cell(columns.get(column, {}), plan.parts) for column in plan.columns]
        last = [parts[plan.parts[-1]].p50 for parts in columns.values() if plan.parts[-1] in parts]
        best = f'{1000 * batch / min(last):.1f}' if last else '-'
        name = row.name + ('' if row.folded else ' (not folded)')
        size = ' x '.join(map(str, row.shape))
        counts = [f'{row.parameters / 1e6:.2f}', f'{row.macs / 1e9:.4g}']
        table.append([name, size, *counts, *cells, best, '-' if row.memory is None else f'{row.memory:.0f}'])
    return [f'| {" | ".join(line)} |' for line in table]


def _cell(parts: dict[str, Latency], wanted: Sequence[str]) -> str:
    return ' / '.join(str(parts[part]) if part in parts else '-' for part in wanted)


BEGIN, END = '<!-- begin table -->', '<!-- end table -->'


def around(page: Path) -> tuple[str, str]:
    """What stands before and behind the place of the table on a page.

    Raises:
        InputError: there is no such page, or it lacks the marks.
    """
    if not page.is_file():
        raise InputError(f'{page}: no such file')
    before, begin, rest = page.read_text(encoding='utf-8').partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f'{page}: lacks the lines {BEGIN} and {END}')
    return before + begin, end + after


def fill(page: Path, text: str) -> None:
    """Replace what stands between the two marks of a page; errors as of :func:`around`."""
    before, after = around(page)
    put(f'{before}\n{text}\n{after}', page)
