"""NumPy arrays, scalars and dtypes of pickles, read by checked code; and pickles of predictions.

NumPy's own constructors trust what a file says: with a dtype of objects or a state of the right shape they read memory
at addresses of the file's choice. Here a pickle that names them gets stand-ins, which take numbers, booleans and
strings only, check every length, and make the array themselves.
"""

from __future__ import annotations

import collections
import io
import math
import os
import pickle
import re
from collections.abc import Callable
from typing import Any

from mmlight.errors import InputError

CODES = re.compile(r'[<>|=]?[?bBhHiIlLqQefdFDSU]\d{0,9}|[<>|=]?[biufc](1|2|4|8|16)')


def _refuse(what: str) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(f'Unsupported global: GLOBAL numpy.{what}')


class _DType:
    """Stands for ``numpy.dtype`` in a pickle."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        if not isinstance(code, str) or not CODES.fullmatch(code):
            raise _refuse(f'dtype of {code!r}'[:80])
        self.code: Any = code
        self.order: Any = '='

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ('<', '>', '|', '='):
            raise _refuse('dtype with an unknown state')
        if any(one is not None for one in state[2:5]):
            raise _refuse('dtype with fields')
        self.order = state[1]

    def numpy(self) -> Any:
        import numpy as np

        try:
            found = np.dtype(self.code)
        except TypeError as error:
            raise _refuse(f'dtype of {self.code!r}') from error
        return found.newbyteorder(self.order) if self.order in '<>' else found


class _Array:
    """Stands for an array until the file has been read; :func:`with_arrays` puts the array in its place.

    Who reads the file by :func:`torch.load` keeps it: it answers as the array does, and is copied and saved as one.
    """

    value: Any = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        import numpy as np

        return np.array(self.value, dtype)

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__') or self.value is None:
            raise AttributeError(name)
        return getattr(self.value, name)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> Any:
        return self.value[index]

    def __repr__(self) -> str:
        return repr(self.value)

    def __reduce__(self) -> Any:
        return self.value.__reduce__()

    def __setstate__(self, state: Any) -> None:
        import numpy as np

        if not isinstance(state, tuple) or len(state) != 5:
            raise _refuse('ndarray with an unknown state')
        _, shape, dtype, fortran, data = state
        sides = isinstance(shape, tuple) and all(type(side) is int and 0 <= side < 2**40 for side in shape)
        if not sides or len(shape) > 32 or not isinstance(dtype, _DType) or not isinstance(data, (bytes, bytearray)):
            raise _refuse('ndarray of other things than numbers')
        found = dtype.numpy()
        if math.prod(shape) * found.itemsize != len(data):
            raise _refuse(f'ndarray of shape {shape} with {len(data)} bytes')
        flat = np.frombuffer(bytearray(data), found) if len(data) else np.empty(math.prod(shape), found)
        self.value = flat.reshape(shape, order='F' if fortran else 'C')


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _scalar(dtype: Any, data: Any = b'') -> Any:
    import numpy as np

    if not isinstance(dtype, _DType) or not isinstance(data, bytes) or dtype.numpy().itemsize != len(data) or not data:
        raise _refuse('scalar of something else than a number')
    return np.frombuffer(data, dtype.numpy())[0]


def _encode(text: Any, encoding: Any = 'latin1') -> bytes:
    if not isinstance(text, str) or encoding not in ('latin1', 'latin-1'):
        raise pickle.UnpicklingError('Unsupported global: GLOBAL _codecs.encode')
    return text.encode('latin1')


def _empty(*arguments: Any) -> bytes:
    if arguments:
        raise pickle.UnpicklingError('Unsupported global: GLOBAL builtins.bytes')
    return b''


def _no_array(*_: Any) -> None:
    raise _refuse('ndarray')


def numpy_names() -> list[Any]:
    """The stand-ins, under the names by which NumPy 1 and 2 pickle their values."""
    named: list[Any] = [_Array]
    functions: tuple[tuple[str, str, Any], ...] = (
        ('numpy', 'ndarray', _no_array),
        ('_codecs', 'encode', _encode),
        ('builtins', 'bytes', _empty),
        ('__builtin__', 'bytes', _empty),
        *(
            (f'numpy.{core}.multiarray', name, function)
            for core in ('core', '_core')
            for name, function in (('_reconstruct', _reconstruct), ('scalar', _scalar))
        ),
    )
    for module, name, function in functions:
        named.append(_alias(function, module, name))
    dtype = type('dtype', (_DType,), {'__module__': 'numpy', '__qualname__': 'dtype'})
    return [*named, dtype]


def _alias(function: Callable, module: str, name: str) -> Callable:
    def alias(*args: Any) -> Any:
        return function(*args)

    alias.__module__, alias.__name__, alias.__qualname__ = module, name, name
    return alias


def with_arrays(node: Any, seen: dict[int, Any] | None = None) -> Any:
    """The content of a file with its arrays in the place of their stand-ins; containers are changed in place."""
    seen = {} if seen is None else seen
    if isinstance(node, _Array):
        if node.value is None:
            raise _refuse('ndarray without content')
        return node.value
    key = id(node)
    if key in seen:
        return seen[key][1]
    seen[key] = (node, node)  # the reference keeps the id
    if isinstance(node, dict):
        for name, value in list(node.items()):
            node[name] = with_arrays(value, seen)
    elif isinstance(node, list):
        node[:] = [with_arrays(value, seen) for value in node]
    elif type(node) is tuple:
        seen[key] = (node, tuple(with_arrays(value, seen) for value in node))
    elif type(node).__name__ == 'HistoryBuffer':
        vars(node).update({name: with_arrays(value, seen) for name, value in vars(node).items()})
    return seen[key][1]


def _storage(data: Any) -> Any:
    import torch

    return torch.load(io.BytesIO(data), weights_only=True)


class _Predictions(pickle.Unpickler):
    """Tensors, arrays, numbers, strings and containers."""

    def find_class(self, module: str, name: str) -> Any:
        import torch

        known = {f'{one.__module__}.{one.__qualname__}': one for one in numpy_names()[1:]}
        known |= {
            'collections.OrderedDict': collections.OrderedDict,
            'torch._utils._rebuild_tensor_v2': torch._utils._rebuild_tensor_v2,
            'torch.storage._load_from_bytes': _storage,
            'torch.Size': torch.Size,
        }
        if f'{module}.{name}' not in known:
            raise pickle.UnpicklingError(f'the file wants to call {module}.{name}')
        return known[f'{module}.{name}']


def load_predictions(path: str | os.PathLike) -> Any:
    """Read a pickle of ``tools/test.py --out``; runs no code from it.

    Raises:
        InputError: the file is missing, damaged, or holds something else than predictions.
    """
    try:
        with open(path, 'rb') as file:
            return with_arrays(_Predictions(file).load())
    except OSError as error:
        raise InputError(f'{path}: {error.strerror or error}') from error
    except Exception as error:  # damaged files fail in every way there is
        reason = ' '.join(str(error).split())[:160] or type(error).__name__
        raise InputError(f'{path}: not a pickle that `tools/test.py --out` wrote ({reason})') from error
