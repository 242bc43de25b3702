"""mmseg imports timm where it is installed, and timm imports torchvision.

A torchvision that does not fit the installed torch raises ``RuntimeError`` at import, where mmseg expects
``ImportError``: ``mmseg.models`` cannot be imported at all. It is then imported as if there were no timm.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

from mmlight.compat.environment_report import import_error
from mmlight.compat.wall import NotNeededError, Wall


def _hide() -> Callable[[], object] | None:
    error = import_error('timm')
    if error is None or isinstance(error, ImportError):
        return None
    sys.modules['timm'] = None  # type: ignore[assignment]  # importing it then raises ModuleNotFoundError
    return lambda: sys.modules.pop('timm', None)


def _apply(module: ModuleType) -> str:
    if module.timm is not None:
        raise NotNeededError('timm can be imported')
    if isinstance(import_error('timm'), ImportError):
        raise NotNeededError('timm is not installed')
    return 'mmseg runs without timm, which cannot be imported: TIMMBackbone is not available'


WALLS = (Wall('timm', _apply, target='mmseg.models.backbones.timm_backbone', before=_hide),)
