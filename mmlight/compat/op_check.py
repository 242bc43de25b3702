"""Python 3.14 removed ``pkgutil.find_loader``, by which mmengine and mmcv ask whether the compiled operators exist."""

from __future__ import annotations

import importlib.util
import pkgutil
from types import ModuleType

from mmlight.compat.wall import NotNeededError, Wall, rebind


def ops_exist() -> bool:
    """Whether ``mmcv._ext`` (compiled, or the fallback) can be imported."""
    try:
        return importlib.util.find_spec('mmcv._ext') is not None
    except ImportError:
        return False


def _patch(module: ModuleType, function: str) -> str:
    if hasattr(pkgutil, 'find_loader'):
        raise NotNeededError('pkgutil.find_loader exists')
    places = rebind(getattr(module, function), ops_exist)
    return f'{function} asks importlib ({places} places)'


WALLS = (
    Wall(
        'op-check-mmengine',
        lambda module: _patch(module, 'mmcv_full_available'),
        target='mmengine.utils.dl_utils.misc',
    ),
    Wall('op-check-mmcv', lambda module: _patch(module, 'check_ops_exist'), target='mmcv.utils.ext_loader'),
)
