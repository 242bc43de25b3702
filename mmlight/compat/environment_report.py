"""mmengine's report of the environment, made by every Runner, dies of a broken torchvision or a missing distutils.

A torchvision that does not fit the installed torch raises ``RuntimeError`` at import, where mmengine expects
``ModuleNotFoundError``; Python 3.12 has no ``distutils`` unless setuptools brings it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from mmlight.compat.wall import Wall, rebind


def import_error(name: str) -> Exception | None:
    """What importing module ``name`` raises; None if it works."""
    try:
        importlib.import_module(name)
    except Exception as error:
        return error
    return None


def _distutils_stand_in() -> dict[str, Any]:
    package: Any = ModuleType('distutils')
    errors: Any = ModuleType('distutils.errors')
    errors.DistutilsPlatformError = type('DistutilsPlatformError', (Exception,), {})
    package.errors = errors
    package.__path__ = []
    return {'distutils': package, 'distutils.errors': errors}


@contextlib.contextmanager
def _importable() -> Iterator[None]:
    modules: dict[str, Any] = {}
    if import_error('torchvision') is not None:
        modules['torchvision'] = None  # importing it then raises the ModuleNotFoundError that mmengine expects
    if import_error('distutils.errors') is not None:
        modules.update(_distutils_stand_in())
    kept = {name: sys.modules[name] for name in modules if name in sys.modules}
    sys.modules.update(modules)
    try:
        yield
    finally:  # only these names: what else was imported meanwhile has to stay
        for name in modules:
            sys.modules.pop(name, None)
        sys.modules.update(kept)


def _guarded(collect: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    @functools.wraps(collect)
    def collect_env() -> dict[str, Any]:
        with _importable():
            report = collect()
        error = import_error('torchvision')
        if error is not None and not isinstance(error, ModuleNotFoundError):
            report['TorchVision'] = f'broken ({error})'
        return report

    return collect_env


def _apply(module: ModuleType) -> str:
    places = rebind(module.collect_env, _guarded(module.collect_env))
    return f'collect_env survives a broken torchvision and a missing distutils ({places} places)'


WALLS = (Wall('environment-report', _apply, target='mmengine.utils.dl_utils.collect_env'),)
