"""Callbacks around the import of modules that are not imported yet.

The finder stands first in ``sys.meta_path``, but only looks at the watched names, and leaves finding them to the other
finders: it changes nothing except that callbacks run around the execution of the module.
"""

from __future__ import annotations

import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

Before = Callable[[], 'Callable[[], object] | None']
After = Callable[[ModuleType], None]


class _WatchingFinder:
    def __init__(self) -> None:
        self.watched: dict[str, list[tuple[Before | None, After]]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.watched:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, 'find_spec', None)
            spec = find(fullname, path, target) if find is not None and finder is not self else None
            if spec is not None:
                break
        else:
            return None
        if spec.loader is not None and hasattr(spec.loader, 'exec_module'):
            # An attribute of this one loader: its class, which others may test for, stays what it is.
            spec.loader.exec_module = self._surrounded(fullname, spec.loader.exec_module)
        return spec

    def _surrounded(self, fullname: str, execute: After) -> After:
        def exec_module(module: ModuleType) -> None:
            undo = [before() for before, _ in self.watched[fullname] if before is not None]
            try:
                execute(module)
            finally:
                for callback in undo:
                    if callback is not None:
                        callback()
            for _, after in self.watched[fullname]:
                after(module)

        return exec_module


_FINDER = _WatchingFinder()


def on_import(name: str, after: After, before: Before | None = None) -> None:
    """Call ``before()``, execute module ``name``, call what ``before`` returned, then ``after(module)``.

    A module that is already imported gets ``after`` at once; ``before`` is then too late and not called.
    """
    _FINDER.watched.setdefault(name, []).append((before, after))
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    if sys.modules.get(name) is not None:
        after(sys.modules[name])
