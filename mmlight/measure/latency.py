"""Latency of several functions that are called in turns, so that what disturbs the machine disturbs them alike.

The order changes from round to round: a function finds the caches, the memory and the threads as the one before it left
them, and would be the slower for it every time.
"""

from __future__ import annotations

import math
import platform
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from mmlight import checks
from mmlight.errors import InputError

Key = TypeVar('Key')

STEADY = 0.03
"""Repeats whose medians lie further apart than this share of the smallest are flagged."""


@dataclass(frozen=True)
class Times:
    """Milliseconds of the calls of one repeat."""

    calls: int
    mean: float
    p50: float
    p95: float


@dataclass(frozen=True)
class Latency:
    """What :func:`measure_latency` found for one function, in milliseconds a call.

    Attributes:
        mean, p50, p95: over the calls of all repeats.
        repeats: each repeat on its own.
        spread: how far the medians of the repeats lie apart, as a share of the smallest. Medians, because one
            interruption moves a mean.
    """

    mean: float
    p50: float
    p95: float
    repeats: tuple[Times, ...]
    spread: float

    @classmethod
    def of(cls, repeats: Sequence[Sequence[float]]) -> Latency:
        """From the milliseconds of each call of each repeat."""
        parts = tuple(_times(values) for values in repeats)
        whole = _times([value for values in repeats for value in values])
        medians = [times.p50 for times in parts]
        spread = (max(medians) - min(medians)) / min(medians)
        return cls(whole.mean, whole.p50, whole.p95, parts, spread)

    @property
    def steady(self) -> bool:
        """Whether the repeats agree within :data:`STEADY`."""
        return self.spread <= STEADY

    @property
    def fps(self) -> float:
        """Calls a second at the mean."""
        return 1000 / self.mean

    def __str__(self) -> str:
        """The median, and the spread where that is flagged."""
        return f'{self.p50:.1f}' + ('' if self.steady else f' ± {self.spread:.0%}')

    def to_dict(self) -> dict[str, Any]:
        """The fields, ``fps`` and ``steady`` as plain JSON-able values."""
        return dict(asdict(self), repeats=[asdict(times) for times in self.repeats], fps=self.fps, steady=self.steady)


def measure_latency(
    functions: Mapping[Key, Callable[[], object]],
    rounds: int = 20,
    seconds: float = 0.0,
    warmup_rounds: int = 2,
    warmup_seconds: float = 0.0,
    repeats: int = 3,
    device: str | torch.device = 'cpu',
    limit: float = math.inf,
) -> dict[Key, Latency]:
    """Time each function; a round calls every one of them once, in an order of its own.

    Args:
        functions: name -> what to call.
        rounds: a repeat ends after this many rounds *and* when each function has run for this long.
        seconds: see ``rounds``.
        warmup_rounds: the same for the calls before the first repeat, which do not count.
        warmup_seconds: see ``warmup_rounds``.
        repeats: how often all of that is measured.
        device: where the functions run; on a GPU every call starts and ends with a synchronisation.
        limit: a repeat, and the warm-up, ends before that when the functions have run for this many seconds on average.

    Raises:
        InputError: there is nothing to call, or a number of rounds or repeats is below 1.
    """
    if not functions:
        raise InputError('functions: none given')
    checks.positive_int('latency', rounds=rounds, repeats=repeats)
    checks.int_from(0, 'latency', warmup_rounds=warmup_rounds)
    device = torch.device(device)
    order = random.Random(0)
    _call_in_turns(functions, warmup_rounds, warmup_seconds, device, limit, order)
    found = [_call_in_turns(functions, rounds, seconds, device, limit, order) for _ in range(repeats)]
    return {name: Latency.of([repeat[name] for repeat in found]) for name in functions}


def _call_in_turns(
    functions: Mapping[Key, Callable],
    rounds: int,
    seconds: float,
    device: torch.device,
    limit: float,
    order: random.Random,
) -> dict:
    """Name -> milliseconds of each call."""
    times: dict[Key, list[float]] = {name: [] for name in functions}
    done, end = 0, time.perf_counter() + limit * len(functions)
    while (done < rounds or min(map(sum, times.values())) < seconds * 1e3) and not (done and time.perf_counter() > end):
        for name in order.sample(list(functions), len(functions)):
            times[name].append(milliseconds(functions[name], device)[0])
        done += 1
    return times


def milliseconds(function: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    """Duration and result of one call."""
    synchronize(device)
    start = time.perf_counter()
    result = function()
    synchronize(device)
    return (time.perf_counter() - start) * 1e3, result


def synchronize(device: torch.device) -> None:
    """Wait for what the GPU has been given; nothing on a CPU."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def _times(values: Sequence[float]) -> Times:
    tensor = torch.tensor(values, dtype=torch.float64)
    p50, p95 = tensor.quantile(torch.tensor([0.5, 0.95], dtype=torch.float64)).tolist()
    return Times(len(values), tensor.mean().item(), p50, p95)


def machine(device: str | torch.device = 'cpu') -> dict[str, Any]:
    """What a latency depends on besides the function: JSON-able values by name."""
    device = torch.device(device)
    found = {'device': _cpu(), 'threads': torch.get_num_threads(), 'torch': torch.__version__}
    if device.type == 'cuda':
        found |= {
            'device': torch.cuda.get_device_name(device),
            'cuda': torch.version.cuda,
            'cudnn': torch.backends.cudnn.version(),
            'cudnn_benchmark': torch.backends.cudnn.benchmark,
            'tf32': torch.backends.cudnn.allow_tf32,
        }
    return found


def _cpu() -> str:
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(':')[2].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()
