"""Parameters and multiply-adds of a network, from one run on random input: no data set and no weights needed.

Convention (the papers'): one MAC is one multiply-add of a convolution, a linear layer or a matrix product (attention
included); batch 1, inference. Normalisation, activation, pooling, resizing, element-wise arithmetic, box decoding and
NMS are not counted. The resampling of RoI features is not part of the total either and is reported on its own.

The formulas are those of :mod:`torch.utils.flop_counter` (which counts a multiply-add as two operations). They act on
dispatched operators, so functional calls count like modules do.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from mmlight.errors import InputError
from mmlight.measure.operators import needs_no_count, record_mmcv_operators
from mmlight.runtime.inference import has_module, inference, network_and_shape

TRAINING_ONLY = ('auxiliary_head',)
"""Children that mmseg's segmentors have for the loss only; they are not part of the network that is measured."""

BAGS = (torch.ops.aten._embedding_bag, torch.ops.aten._embedding_bag_forward_only)
"""Weighted sums of rows, without a formula in torch; mmlight's operators resample RoI features by them."""

ROI_SAMPLERS = ('RoIAlign', 'RoIPool')
"""A module whose class name contains one of these resamples RoI features."""


@dataclass(frozen=True)
class Part:
    """One part of a network: its parameters and its MACs in one inference."""

    parameters: int
    macs: int


@dataclass(frozen=True)
class Complexity:
    """What :func:`measure` found.

    Attributes:
        shape: (height, width) of the input image.
        parameters: number of parameters of the inference network.
        macs: multiply-adds, without RoI sampling.
        by_part: dotted module name -> its share; the shares add up to the two totals.
        sampling_macs: multiply-adds spent on resampling RoI features by matrix products and weighted sums.
        rois: number of proposals that the second stage was run with, 0 if there is none.
        training_only: parameters of the heads that only the loss uses (not in ``parameters``).
        not_counted: name -> calls of the operators that have no formula and are not element-wise, shape,
            normalisation, pooling or sampling operation. The total lacks their multiply-adds.
    """

    shape: tuple[int, int]
    parameters: int
    macs: int
    by_part: dict[str, Part]
    sampling_macs: int = 0
    rois: int = 0
    training_only: int = 0
    not_counted: dict[str, int] = field(default_factory=dict)

    @property
    def flops(self) -> int:
        """2 x MACs: one multiplication and one addition each."""
        return 2 * self.macs

    def to_dict(self) -> dict[str, Any]:
        """The fields and ``flops`` as plain JSON-able values."""
        return dict(asdict(self), shape=list(self.shape), flops=self.flops)

    def table(self) -> str:
        """Plain text: one row a part, then the totals, one fact a line."""
        rows = [('part', 'parameters', 'MACs (M)', 'share')]
        for name, part in self.by_part.items():
            share = f'{100 * part.macs / self.macs:.1f} %' if self.macs else '-'
            rows.append((name, f'{part.parameters:,}', _millions(part.macs), share))
        rows.append(('total', f'{self.parameters:,}', _millions(self.macs), ''))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        header, *parts, total = (_aligned(row, widths) for row in rows)
        rule = '-' * sum(widths, start=2 * len(widths) - 2)
        lines = [header, rule, *parts, rule, total, '']
        height, width = self.shape
        lines.append(f'Input: 3 x {height} x {width}, batch 1' + (f', {self.rois} RoIs' if self.rois else ''))
        lines.append(f'Parameters: {_counted(self.parameters)}')
        lines.append(f'MACs: {_counted(self.macs)}')
        lines.append(f'2 x MACs: {_counted(self.flops)}')
        if self.rois:
            lines.append(f'RoI sampling (not in the total): {_millions(self.sampling_macs)} M MACs')
        if self.training_only:
            lines.append(f'Heads for training only (not in the total): {self.training_only} parameters')
        names = ', '.join(f'{name} x {calls}' for name, calls in self.not_counted.items())
        lines.append(f'Not counted: {names or "nothing"}')
        return '\n'.join(lines)


def _millions(count: int) -> str:
    """In millions, to four significant digits, as papers give them."""
    millions = count / 1e6
    return f'{millions:.{max(0, 3 - math.floor(math.log10(millions)))}f}' if count else '0'


def _counted(count: int) -> str:
    """To three significant digits with a unit, and exactly."""
    for unit, size in (('G', 1e9), ('M', 1e6), ('K', 1e3)):
        if count >= size:
            return f'{count / size:.{max(0, 2 - int(math.log10(count / size)))}f} {unit} ({count})'
    return str(count)


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
    return '  '.join([first.strip().ljust(widths[0]), *others]).rstrip()


def measure(
    model: str | Path | Config | nn.Module,
    shape: Sequence[int] | None = None,
    depth: int = 1,
    options: dict | None = None,
) -> Complexity:
    """Count the parameters and the multiply-adds of one inference on one image.

    Args:
        model: a config (its path, or the name of a shipped one) of an mmdet or mmseg model, or any module that takes
            (1, 3, H, W).
        shape: (height, width) of the image as it enters the network, or one number for both; no padding is added.
            Default: the size of the config's test pipeline.
        depth: levels of the module tree to tell apart in ``by_part``; 1 gives backbone, neck and heads.
        options: config values to override (``--cfg-options``) where ``model`` is a path or name.

    A two-stage detector's second stage runs on exactly ``test_cfg.rpn.max_per_img`` proposals, its mask head on
    ``test_cfg.rcnn.max_per_img``, whatever its weights are.

    Raises:
        InputError: ``shape`` is not two positive integers, the config has no model, or the network cannot run on an
            image of this size.
    """
    if depth < 1:
        raise InputError(f'depth: {depth}; must be 1 or more')
    network, shape = network_and_shape(model, shape, options)
    counter = OperatorCounter(network)
    with inference(network, shape) as (forward, rois), record_mmcv_operators(counter.not_counted), counter:
        forward()
    by_part = _by_part(network, counter.macs, depth)
    return Complexity(
        shape=shape,
        parameters=sum(part.parameters for part in by_part.values()),
        macs=sum(counter.macs.values()),
        by_part=by_part,
        sampling_macs=counter.sampling_macs,
        rois=rois,
        training_only=sum(_parameters(getattr(network, name)) for name in TRAINING_ONLY if has_module(network, name)),
        not_counted=dict(counter.not_counted),
    )


class OperatorCounter(TorchDispatchMode):
    """Adds up the MACs of every dispatched operator under the innermost module that runs it.

    A subclass sees each operator in :meth:`execute` and, with its multiply-adds, in :meth:`note`.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.names = {module: name for name, module in network.named_modules()}
        self.running = [network]
        self.macs: Counter[str] = Counter()
        self.sampling_macs = 0
        self.not_counted: Counter[str] = Counter()

    def __enter__(self):
        register = nn.modules.module
        self.hooks = [
            register.register_module_forward_pre_hook(lambda module, args: self.running.append(module)),
            register.register_module_forward_hook(lambda module, args, out: self._leave(), always_call=True),
        ]
        return super().__enter__()

    def __exit__(self, *error):
        for hook in self.hooks:
            hook.remove()
        return super().__exit__(*error)

    def _leave(self) -> None:
        self.running.pop()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = self.execute(func, args, kwargs)
        formula = flop_registry.get(func._overloadpacket)
        macs = formula(*args, **kwargs, out_val=out) // 2 if formula else 0
        if formula is None:
            if self.sampling():
                if func._overloadpacket in BAGS:
                    table, index = args[:2]
                    self.sampling_macs += index.numel() * table.shape[1]
            elif not needs_no_count(func):
                self.not_counted[str(func._overloadpacket)] += 1
        elif self.sampling():
            self.sampling_macs += macs
        else:
            self.macs[self.layer()] += macs
        self.note(func, args, kwargs, out, macs)
        return out

    def execute(self, func, args, kwargs):
        """Run the operator."""
        return func(*args, **kwargs)

    def note(self, func, args, kwargs, out, macs: int) -> None:
        """Called after each operator."""

    def layer(self) -> str:
        """The name of the innermost module that is running."""
        return next(self.names[module] for module in reversed(self.running) if module in self.names)

    def sampling(self) -> bool:
        """Whether RoI features are being resampled."""
        return any(word in type(module).__name__ for module in self.running for word in ROI_SAMPLERS)


def _by_part(network: nn.Module, macs: Counter, depth: int) -> dict[str, Part]:
    """The first ``depth`` levels below the root; a parameter that several parts share belongs to the first."""

    def part(name: str) -> str:
        return '.'.join(name.split('.')[:depth])

    parameters: Counter[str] = Counter()
    for name, parameter in network.named_parameters():
        owner = name.rpartition('.')[0]
        if name.split('.')[0] not in TRAINING_ONLY:
            parameters[part(owner)] += parameter.numel()
    total: Counter[str] = Counter()
    for name, count in macs.items():
        total[part(name)] += count
    names = sorted(parameters.keys() | total.keys(), key=_order(network))
    return {name or type(network).__name__: Part(parameters[name], total[name]) for name in names}


def _order(network: nn.Module) -> Callable:
    position = {name: index for index, (name, _) in enumerate(network.named_modules())}
    return lambda name: position.get(name, len(position))


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
