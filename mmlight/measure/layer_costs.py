"""What each layer of a network costs: multiply-adds, memory access and time, and which guideline it breaks.

Counted as in :mod:`mmlight.measure.complexity`, on the same kind of run; the memory access cost and the guidelines are
those of :mod:`mmlight.measure.guidelines`. A layer is what one module itself runs of one kind of operator: an addition
in the ``forward`` of a block is a layer of the block.
"""

from __future__ import annotations

import copy
import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.config import Config
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.weak import WeakTensorKeyDictionary

from mmlight.errors import InputError
from mmlight.measure.complexity import TRAINING_ONLY, OperatorCounter
from mmlight.measure.guidelines import Convolution
from mmlight.measure.latency import Latency, machine, measure_latency, milliseconds
from mmlight.measure.operators import kind_of, record_mmcv_operators
from mmlight.runtime.inference import inference, network_and_shape

KINDS = (
    'dense',
    '1x1',
    'grouped',
    'depthwise',
    'matrix',
    'pooling',
    'normalisation',
    'element-wise',
    'copying',
    'other',
)
"""Of operators; ``dense`` is a convolution without groups and with more than one position, ``matrix`` a product of
matrices (linear layers, attention)."""

ELEMENT_WISE = ('depthwise', 'normalisation', 'element-wise')
"""Kinds that read and write much for what they compute (G4)."""

ROOT = '(network)'
"""Name for what the network runs itself, outside of its parts."""

SEQUENCES = (nn.Sequential, nn.ModuleList, nn.ModuleDict)

FRAGMENTS = ('dense', '1x1', 'grouped', 'depthwise', 'matrix', 'pooling')
"""Kinds that count as fragments of a block (G3)."""


@dataclass(frozen=True)
class Operator:
    """One call of a kernel: multiply-adds, elements read and written, milliseconds (None where not timed); the block
    that it belongs to ('' for none) and how many fragments the longest way through the block up to it has."""

    layer: str
    kind: str
    macs: int
    accesses: int
    convolution: Convolution | None
    ms: float | None
    block: str
    position: int


@dataclass(frozen=True)
class Layer:
    """The operators of one kind that one module runs itself.

    Attributes:
        name: dotted name of the module.
        kind: one of :data:`KINDS`.
        macs, accesses: multiply-adds; elements read and written.
        ms: milliseconds, None where not timed.
        convolutions: those among the operators.
    """

    name: str
    kind: str
    operators: int
    macs: int
    accesses: int
    ms: float | None
    convolutions: tuple[Convolution, ...] = ()

    @property
    def bound(self) -> float | None:
        """Least memory access cost of the same multiply-adds (G1, G2), for layers of convolutions only."""
        return sum(c.bound for c in self.convolutions) if self.convolutions else None

    @property
    def factor(self) -> float | None:
        """The memory access cost of the convolutions, biases left out, over :attr:`bound`."""
        bound = self.bound
        return None if bound is None else sum(c.accesses for c in self.convolutions) / bound

    @property
    def breaks(self) -> tuple[str, ...]:
        """Guidelines that the layer breaks."""
        if self.kind in ELEMENT_WISE:
            return ('G4',)
        return tuple(sorted({name for c in self.convolutions for name in c.breaks}))


@dataclass(frozen=True)
class Block:
    """A repeated unit of the network (G3).

    Attributes:
        name: dotted name of the module.
        fragments: convolutions, matrix products and poolings in it.
        serial: how many of them the longest chain has.
        parallel: how many of them at most stand side by side.
        macs: multiply-adds of the block.
        ms: milliseconds of all its operators, None where not timed.
    """

    name: str
    fragments: int
    serial: int
    parallel: int
    macs: int
    ms: float | None


@dataclass(frozen=True)
class LayerCosts:
    """What :func:`measure_layers` found.

    Attributes:
        name: class of the network, or name of the config.
        shape: (height, width) of the input image; batch 1.
        parameters: of the inference network.
        layers: in the order of the first call.
        blocks: in the same order.
        rois: proposals that a second stage was run with.
        latency: of the whole network without tracing, None where not timed.
        machine: on what the times were measured.
        not_counted: as in :class:`~mmlight.measure.complexity.Complexity`.
    """

    name: str
    shape: tuple[int, int]
    parameters: int
    layers: tuple[Layer, ...]
    blocks: tuple[Block, ...]
    rois: int = 0
    latency: Latency | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    not_counted: dict[str, int] = field(default_factory=dict)

    @property
    def macs(self) -> int:
        """Multiply-adds; RoI sampling left out, as in ``complexity``."""
        return sum(layer.macs for layer in self.layers)

    @property
    def accesses(self) -> int:
        """Memory access cost in elements."""
        return sum(layer.accesses for layer in self.layers)

    @property
    def ms(self) -> float | None:
        """Milliseconds of all operators, without the time between them."""
        return _total([layer.ms for layer in self.layers])

    def by_kind(self) -> list[Layer]:
        """The layers of each kind that there is added up, in the order of :data:`KINDS`."""
        found = [(kind, [layer for layer in self.layers if layer.kind == kind]) for kind in KINDS]
        return [_sum(kind, kind, layers) for kind, layers in found if layers]

    def by_group(self, depth: int) -> list[Layer]:
        """The layers below each module ``depth`` levels down added up; kind ``''``."""
        groups: dict[str, list[Layer]] = {}
        for layer in self.layers:
            groups.setdefault('.'.join(layer.name.split('.')[:depth]), []).append(layer)
        return [_sum(name or ROOT, '', layers) for name, layers in groups.items()]

    def to_dict(self) -> dict[str, Any]:
        """Fields, totals, bounds and broken guidelines as plain JSON-able values."""
        found = asdict(self)
        for entry, layer in zip(found['layers'], self.layers, strict=True):
            entry.update(bound=layer.bound, factor=layer.factor, breaks=list(layer.breaks))
        found.update(
            latency=self.latency and self.latency.to_dict(), macs=self.macs, accesses=self.accesses, ms=self.ms
        )
        return found


def measure_layers(
    model: str | Path | Config | nn.Module,
    shape: Sequence[int] | None = None,
    repeats: int = 0,
    device: str = 'cpu',
    fuse: bool = False,
    options: dict | None = None,
    channels: int = 3,
) -> LayerCosts:
    """Count, and with ``repeats`` time, every layer in an inference on one image.

    Args:
        model: as for :func:`mmlight.measure.complexity.measure`.
        shape: as there.
        options: as there.
        repeats: timed runs, rounded up to a multiple of three; the median counts, operator by operator; 0 counts only.
            On a GPU each operator is waited for, so that starting a kernel is part of its time.
        device: where the network runs; it is moved there.
        fuse: fold batch normalisation into the convolutions before, as a deployed network does.
        channels: of the image.

    Raises:
        InputError: as :func:`~mmlight.measure.complexity.measure`; ``repeats`` is negative; there is no such device;
            or the network does not run the same operators twice.
    """
    if repeats < 0:
        raise InputError(f'repeats: {repeats}; must be 0 or more')
    network, shape = network_and_shape(model, shape, options)
    parameters = sum(p.numel() for name, p in network.named_parameters() if name.split('.')[0] not in TRAINING_ONLY)
    if fuse:
        network = fuse_conv_bn(copy.deepcopy(network))
    network = network.to(device)
    with inference(network, shape, channels) as (forward, rois):
        counted = _Tracer(network, torch.device(device))
        with record_mmcv_operators(counted.not_counted), counted:
            forward()
        latency, timed = _timed(network, forward, repeats, torch.device(device)) if repeats else (None, [])
    operators = _with_times(counted.operators, timed)
    return LayerCosts(
        name=Path(model).stem if isinstance(model, (str, Path)) else type(network).__name__,
        shape=shape,
        parameters=parameters,
        layers=_layers(operators),
        blocks=_blocks(operators),
        rois=rois,
        latency=latency,
        machine=machine(device) if repeats else {},
        not_counted=dict(counted.not_counted),
    )


class _Tracer(OperatorCounter):
    """Writes down every operator: its sizes, its time, and its place in the block that it belongs to."""

    def __init__(self, network: nn.Module, device: torch.device):
        super().__init__(network)
        self.device = device
        self.operators: list[Operator] = []
        self.block_of = _block_of_layers(network)
        self.positions = WeakTensorKeyDictionary()  # tensor -> (block, number of fragments on the way to it)

    def execute(self, func, args, kwargs):
        self.ms, out = milliseconds(lambda: func(*args, **kwargs), self.device)
        return out

    def note(self, func, args, kwargs, out, macs: int) -> None:
        counted = func._overloadpacket in flop_registry
        convolution = _convolution(func, args, out) if counted else None
        kind = convolution.kind if convolution else 'matrix' if counted else kind_of(func)
        if self.sampling() and kind != 'none':  # the total of multiply-adds leaves it out
            kind, convolution, macs = 'pooling', None, 0
        inputs, outputs = _tensors((args, kwargs)), _tensors(out)
        layer = self.layer()
        block = self.block_of.get(layer, '')
        position = max(
            (at for t in inputs for place, at in [self.positions.get(t, ('', 0))] if place == block), default=0
        )
        position += kind in FRAGMENTS
        for tensor in outputs:
            self.positions[tensor] = (block, position)
        if kind == 'none':
            return
        if func._overloadpacket is torch.ops.aten.copy_:
            inputs = inputs[1:]  # what was there before is not read
        if kind == 'normalisation':
            outputs = outputs[:1]  # the statistics are for training
        accesses = sum(map(_elements, inputs)) + sum(_elements(t) for t in outputs if t.is_floating_point())
        self.operators.append(Operator(layer, kind, macs, accesses, convolution, self.ms, block, position))


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _elements(tensor: torch.Tensor) -> int:
    """Distinct elements: an expanded dimension is read once."""
    return math.prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride or not size)


def _convolution(func: torch._ops.OpOverload, args: tuple, out: torch.Tensor) -> Convolution | None:
    if func._overloadpacket is not torch.ops.aten.convolution:
        return None
    image, weight, transposed, groups = args[0], args[1], args[6], args[8]
    c1, c2 = image.shape[1], weight.shape[1] * groups if transposed else weight.shape[0]
    positions = image.numel() // c1, out.numel() // c2
    return Convolution(c1, c2, groups, tuple(weight.shape[2:]), positions, tuple(out.shape[2:]))


def _block_of_layers(network: nn.Module) -> dict[str, str]:
    """Layer -> innermost item of a sequence with two or more convolutions or linear layers, depthwise ones aside."""
    found: dict[str, str] = {}
    for name, module in network.named_modules():  # outer modules come first
        if isinstance(module, SEQUENCES):
            for key, item in module.named_children():
                if not isinstance(item, SEQUENCES) and sum(map(_mixes_channels, item.modules())) > 1:
                    block = f'{name}.{key}'.lstrip('.')
                    found.update(dict.fromkeys((layer for layer, _ in item.named_modules(prefix=block)), block))
    return found


def _mixes_channels(module: nn.Module) -> bool:
    if isinstance(module, nn.Linear):
        return True
    return isinstance(module, _ConvNd) and (module.groups == 1 or module.groups < module.in_channels)


def _timed(
    network: nn.Module, forward: Callable, repeats: int, device: torch.device
) -> tuple[Latency, list[list[Operator]]]:
    """Latency of the network, and its operators in as many traced runs, which alternate with the others."""
    runs = []

    def traced() -> None:
        with _Tracer(network, device) as tracer:
            forward()
        runs.append(tracer.operators)

    found = measure_latency({'traced': traced, 'plain': forward}, math.ceil(repeats / 3), device=device)
    calls = sum(repeat.calls for repeat in found['traced'].repeats)
    return found['plain'], runs[-calls:]


def _with_times(operators: list[Operator], runs: list[list[Operator]]) -> list[Operator]:
    """The operators with the median of their times in ``runs``."""
    signature = [(each.layer, each.kind) for each in operators]
    if any([(each.layer, each.kind) for each in run] != signature for run in runs):
        raise InputError('model: does not run the same operators twice, so that their times cannot be compared')
    if not runs:
        return [replace(each, ms=None) for each in operators]
    times = ([run[index].ms or 0.0 for run in runs] for index in range(len(operators)))
    return [replace(each, ms=statistics.median(ms)) for each, ms in zip(operators, times, strict=True)]


def _layers(operators: list[Operator]) -> tuple[Layer, ...]:
    groups: dict[tuple[str, str], list[Operator]] = {}
    for each in operators:
        groups.setdefault((each.layer, each.kind), []).append(each)
    return tuple(
        Layer(
            name=name,
            kind=kind,
            operators=len(group),
            macs=sum(each.macs for each in group),
            accesses=sum(each.accesses for each in group),
            ms=_total([each.ms for each in group]),
            convolutions=tuple(each.convolution for each in group if each.convolution),
        )
        for (name, kind), group in groups.items()
    )


def _blocks(operators: list[Operator]) -> tuple[Block, ...]:
    groups: dict[str, list[Operator]] = {}
    for each in operators:
        if each.block:
            groups.setdefault(each.block, []).append(each)
    return tuple(_block(name, group) for name, group in groups.items())


def _block(name: str, operators: list[Operator]) -> Block:
    places = Counter(each.position for each in operators if each.kind in FRAGMENTS)
    return Block(
        name=name,
        fragments=places.total(),
        serial=max(places, default=0),
        parallel=max(places.values(), default=0),
        macs=sum(each.macs for each in operators),
        ms=_total([each.ms for each in operators]),
    )


def _total(times: list[float | None]) -> float | None:
    known = [time for time in times if time is not None]
    return sum(known) if len(known) == len(times) else None


def _sum(name: str, kind: str, layers: list[Layer]) -> Layer:
    return Layer(
        name=name,
        kind=kind,
        operators=sum(layer.operators for layer in layers),
        macs=sum(layer.macs for layer in layers),
        accesses=sum(layer.accesses for layer in layers),
        ms=_total([layer.ms for layer in layers]),
        convolutions=tuple(c for layer in layers for c in layer.convolutions),
    )
