"""What every compatibility wall has in common."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

HOSTS = ('mmengine', 'mmcv', 'mmdet', 'mmseg')


class NotNeededError(Exception):
    """Raised by a wall that has nothing to do in this environment; its text is the reason."""


@dataclass(frozen=True)
class Wall:
    """One incompatibility between released OpenMMLab packages and today's PyTorch or Python, and its remedy.

    Args:
        name: short name, shown by ``mmlight doctor``.
        apply: does the remedy and returns one line that says what was done; raises :class:`NotNeededError` where there
            is nothing to do. Gets the imported target module, or None for a wall without a target.
        target: the module whose import triggers ``apply``. None: applied when compat is installed.
        before: called just before the target is executed; what it returns is called afterwards, also on failure.
    """

    name: str
    apply: Callable[..., str]
    target: str | None = None
    before: Callable[[], Callable[[], object] | None] | None = None


def rebind(original: Any, replacement: Any) -> int:
    """Put ``replacement`` wherever a loaded OpenMMLab module holds ``original`` by name; returns the number of places.

    ``from x import f`` copies the reference, so patching ``x.f`` alone does not reach modules imported earlier.
    """
    places = 0
    for module_name, module in list(sys.modules.items()):
        if not isinstance(module, ModuleType) or module_name.partition('.')[0] not in HOSTS:
            continue
        for attribute, value in list(vars(module).items()):
            if value is original:
                setattr(module, attribute, replacement)
                places += 1
    return places
