"""Activation checkpointing that leaves the statistics of batch norms alone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@contextmanager
def _kept_statistics(module: nn.Module) -> Iterator[None]:
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    saved = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, tracked in saved:
            norm.momentum, norm.num_batches_tracked = momentum, tracked


def recomputed(module: nn.Module, function: Callable, *inputs: Any) -> Any:
    """``function(*inputs)``, whose activations are computed again in the backward pass instead of being kept.

    The running statistics of ``module``'s batch norms are updated once, not once more in the second pass.

    Args:
        module: What holds the layers that ``function`` calls.
        function: What to compute.
        inputs: Its arguments.
    """
    return checkpoint(
        function, *inputs, use_reentrant=False, context_fn=lambda: (nullcontext(), _kept_statistics(module))
    )
