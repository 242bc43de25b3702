"""mmengine refuses mixed precision without an accelerator, although PyTorch's CPU computes in bfloat16.

There ``AmpOptimWrapper`` (``--amp``) casts to bfloat16, whatever half precision was asked for, and scales no loss:
bfloat16 has float32's range, and a ``GradScaler`` without CUDA is off.
"""

from __future__ import annotations

import functools
import logging
import warnings
from typing import Any

from mmlight.compat.cpu_distributed import has_accelerator
from mmlight.compat.wall import NotNeededError, Wall

_logger = logging.getLogger('mmlight')


def _apply(module: Any) -> str:
    if has_accelerator():
        raise NotNeededError('an accelerator is present')
    init, found = module.AmpOptimWrapper.__init__, module.is_cuda_available

    @functools.wraps(init)
    def __init__(self: Any, loss_scale: Any = 'dynamic', dtype: Any = None, **kwargs: Any) -> None:
        if str(dtype).removeprefix('torch.') == 'float16':
            _logger.warning('mixed precision on the CPU: bfloat16 instead of float16')
            dtype = 'bfloat16'
        module.is_cuda_available = lambda: True  # for the assertion
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')  # that the scaler of CUDA is off
                init(self, loss_scale, dtype, **kwargs)
        finally:
            module.is_cuda_available = found

    module.AmpOptimWrapper.__init__ = __init__
    return 'AmpOptimWrapper works in bfloat16 on the CPU'


WALLS = (Wall('cpu-amp', _apply, target='mmengine.optim.optimizer.amp_optimizer_wrapper'),)
