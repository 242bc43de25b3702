"""The operators under the names, and with the keyword arguments, by which ``mmcv.ops`` calls them."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from mmlight.compat.ops_fallback import deformable, focal_loss, masks, nms, roi_align, roi_pool, rotated


def get_compiler_version() -> str:
    return 'pure PyTorch fallback (mmlight)'


def get_compiling_cuda_version() -> str:
    return 'not compiled (mmlight)'


# Every public function of these modules has the name of the operator that it stands for.
OPERATORS: dict[str, Callable] = {
    name: function
    for module in (nms, roi_align, roi_pool, focal_loss, deformable, masks, rotated)
    for name, function in vars(module).items()
    if inspect.isfunction(function)
    and not name.startswith(('_', 'corners_of'))
    and function.__module__ == module.__name__
}
OPERATORS.update(get_compiler_version=get_compiler_version, get_compiling_cuda_version=get_compiling_cuda_version)
