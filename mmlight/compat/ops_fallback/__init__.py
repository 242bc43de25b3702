"""``mmcv._ext`` in plain PyTorch, for an mmcv without compiled operators (``mmcv-lite``).

A finder at the very end of ``sys.meta_path`` offers the module, so compiled operators are always preferred. Operators
that are not written here exist as callables that raise ``NotImplementedError`` with their name, because mmcv asks for
all of its 112 names when it is imported and calls few of them. ``MMLIGHT_STRICT_OPS=1`` raises already when a module
that needs such an operator is built.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from mmlight.compat.wall import NotNeededError, Wall

NAME = 'mmcv._ext'
ORIGIN = 'mmlight: pure PyTorch fallback'
_logger = logging.getLogger('mmlight')


class FallbackModule(ModuleType):
    """Stands for ``mmcv._ext``; ``missing`` are the names that were asked for and have no implementation here."""

    __is_fallback__ = True

    def __init__(self, name: str) -> None:
        super().__init__(name, 'Pure PyTorch stand-in for the compiled operators of mmcv.')
        self.missing: set[str] = set()

    def __getattr__(self, name: str) -> Callable:
        if name.startswith('__'):
            raise AttributeError(name)

        def not_implemented(*args: Any, **kwargs: Any) -> None:
            raise NotImplementedError(
                f'{name}: the pure PyTorch fallback for mmcv has no such operator; install an mmcv with compiled '
                'operators to use it'
            )

        not_implemented.__name__ = not_implemented.__qualname__ = name
        self.missing.add(name)
        setattr(self, name, not_implemented)
        return not_implemented


class _Loader(importlib.abc.Loader):
    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return FallbackModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        from mmlight.compat.ops_fallback.operators import OPERATORS

        vars(module).update(OPERATORS)


class _Finder:
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != NAME:
            return None
        return importlib.machinery.ModuleSpec(fullname, _Loader(), origin=ORIGIN)


def native_extension() -> str | None:
    """The file of mmcv's compiled operators; None without any. Does not import mmcv."""
    if NAME in sys.modules:
        module = sys.modules[NAME]
        return None if getattr(module, '__is_fallback__', False) else str(getattr(module, '__file__', module))
    parent = importlib.util.find_spec('mmcv')
    if parent is None or parent.submodule_search_locations is None:
        return None
    for finder in sys.meta_path:
        find = getattr(finder, 'find_spec', None)
        spec = None if find is None or isinstance(finder, _Finder) else find(NAME, parent.submodule_search_locations)
        if spec is not None:
            return spec.origin
    return None


def _install(_: None) -> str:
    native = native_extension()
    if native is not None:
        raise NotNeededError(f'not installed, compiled operators found: {native}')
    if importlib.util.find_spec('mmcv') is None:
        raise NotNeededError('mmcv is not installed')
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
    _logger.info('mmcv has no compiled operators: using the pure PyTorch fallback')
    return 'no compiled operators found: pure PyTorch ones are used'


def _make_strict(module: ModuleType) -> str:
    if os.environ.get('MMLIGHT_STRICT_OPS', '') in ('', '0'):
        raise NotNeededError('MMLIGHT_STRICT_OPS is not set')
    extension = sys.modules.get(NAME)
    if not isinstance(extension, FallbackModule):
        raise NotNeededError('the compiled operators are complete')
    from mmlight.compat.ops_fallback.strict import forbid_incomplete_modules

    return f'{forbid_incomplete_modules(module, extension.missing)} modules of mmcv.ops refuse to be built'


WALLS = (
    Wall('mmcv-operators', _install),
    Wall('mmcv-operators-strict', _make_strict, target='mmcv.ops'),
)
