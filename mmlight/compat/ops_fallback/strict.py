"""``MMLIGHT_STRICT_OPS=1``: a model that needs an operator without implementation fails when it is built."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any


def forbid_incomplete_modules(ops: ModuleType, missing: set[str]) -> int:
    """Make every ``nn.Module`` of ``mmcv.ops`` whose file calls a missing operator refuse its construction.

    Args:
        ops: the module ``mmcv.ops``.
        missing: names of operators without implementation.

    Returns:
        The number of classes that refuse.
    """
    from torch import nn

    count = 0
    found = {value for value in vars(ops).values() if isinstance(value, type) and issubclass(value, nn.Module)}
    classes: set[Any] = found
    for cls in classes:
        names = sorted(missing.intersection(_names_used(sys.modules[cls.__module__])))
        if names:
            cls.__init__ = _refusal(cls.__name__, names)
            count += 1
    return count


def _refusal(cls: str, names: list[str]) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError(f'{cls} needs operators that only a compiled mmcv has: {", ".join(names)}')

    return __init__


def _names_used(module: ModuleType) -> set[str]:
    return {name for code in _codes(vars(module).values(), module.__name__) for name in code.co_names}


def _codes(values: Any, module: str) -> Iterator[CodeType]:
    for value in values:
        value = getattr(value, '__func__', value)
        if isinstance(value, FunctionType) and value.__module__ == module:
            yield value.__code__
        elif isinstance(value, type) and value.__module__ == module:
            yield from _codes(vars(value).values(), module)
