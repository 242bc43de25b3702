"""mmengine starts a distributed run by ``torch.cuda.set_device`` with NCCL, also where there is only a CPU.

Without an accelerator the process group is gloo's, the CUDA call is left out, and a model on the CPU is wrapped
without ``device_ids``.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from mmlight.compat.wall import NotNeededError, Wall

_logger = logging.getLogger('mmlight')
_STARTERS = ('_init_dist_pytorch', '_init_dist_mpi', '_init_dist_slurm')


def has_accelerator() -> bool:
    """Whether mmengine would place a model on something other than the CPU's own backends."""
    from mmengine.device import get_device

    return get_device() not in ('cpu', 'mps')


@contextlib.contextmanager
def _no_cuda_device() -> Iterator[None]:
    import torch

    set_device, device_count = torch.cuda.set_device, torch.cuda.device_count
    torch.cuda.set_device = lambda device: None
    torch.cuda.device_count = lambda: 1  # slurm's start takes the rank modulo the number of GPUs
    try:
        yield
    finally:
        torch.cuda.set_device, torch.cuda.device_count = set_device, device_count


def _on_cpu(start: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(start)
    def started(backend: str = 'nccl', *args: Any, **kwargs: Any) -> None:
        if has_accelerator():
            return start(backend, *args, **kwargs)
        if backend not in ('gloo', 'mpi'):
            _logger.warning('no accelerator found: the distributed run uses gloo on the CPU instead of %s', backend)
            backend = 'gloo'
        with _no_cuda_device():
            return start(backend, *args, **kwargs)

    return started


def _start(module: ModuleType) -> str:
    if has_accelerator():
        raise NotNeededError('an accelerator is present')
    for name in _STARTERS:
        setattr(module, name, _on_cpu(getattr(module, name)))
    return 'distributed runs use gloo on the CPU'


def _wrap(module: ModuleType) -> str:
    if has_accelerator():
        raise NotNeededError('an accelerator is present')
    cls = module.MMDistributedDataParallel
    init = cls.__init__

    @functools.wraps(init)
    def __init__(self: Any, module: Any, *args: Any, **kwargs: Any) -> None:
        # torch refuses device ids for a model that lies on the CPU; mmengine always passes the local rank
        if 'device_ids' in kwargs and all(p.device.type == 'cpu' for p in module.parameters()):
            kwargs['device_ids'] = None
        init(self, module, *args, **kwargs)

    cls.__init__ = __init__
    return 'MMDistributedDataParallel takes models on the CPU'


WALLS = (
    Wall('cpu-distributed-start', _start, target='mmengine.dist.utils'),
    Wall('cpu-distributed-model', _wrap, target='mmengine.model.wrappers.distributed'),
)
