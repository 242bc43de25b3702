"""Load checkpoints with ``weights_only=True``, the ones that mmengine's Runner writes included.

Since torch 2.6 that is torch's default, and it refuses what mmengine stores beside the weights: log histories and
NumPy values. Here exactly those are allowed, under the names that NumPy 1 and NumPy 2 give them, and NumPy's
values are made by code of our own (:mod:`mmlight.compat.pickled_arrays`). Everything else is refused with the name of
what the file wanted to call.
"""

from __future__ import annotations

import difflib
import functools
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from mmlight.compat.pickled_arrays import numpy_names, with_arrays
from mmlight.compat.wall import Wall, rebind
from mmlight.errors import InputError, MissingFileError

TRUST = 'MMLIGHT_TRUST_CHECKPOINT'
_HISTORY_METHODS = ('min', 'max', 'current', 'mean')
_allowed: list[Any] = []
BEFORE_LOADING: list[Callable[[Any, dict], dict]] = []
"""Called with a network and the weights that mmengine is about to load into it; they return what is to be loaded."""


def load(path: str | os.PathLike, map_location: Any = 'cpu') -> Any:
    """Read a checkpoint file; runs no code from it unless ``MMLIGHT_TRUST_CHECKPOINT=1`` is set.

    Args:
        path: the file; ``~`` is expanded.
        map_location: as for ``torch.load``.

    Raises:
        InputError: the file is missing, damaged or not a checkpoint, or wants to call something that is not allowed.
    """
    import torch

    path = os.path.expanduser(os.fspath(path))
    if not os.path.isfile(path):
        raise MissingFileError(f'checkpoint {path}: no such file')
    trusted = os.environ.get(TRUST, '') not in ('', '0')
    _allow()
    try:
        _compare_sums(path)
        # all weights but where the user says TRUST
        content = torch.load(path, map_location=map_location, weights_only=not trusted)  # nosec B614
        return with_arrays(content)
    except Exception as error:  # damaged files fail in every way there is
        raise InputError(_explain(path, error)) from error


def _compare_sums(path: str) -> None:
    """Raise where a part of the file is not what was written; torch does not compare, and would give other weights."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        for part in archive.infolist():
            if part.CRC == 0:  # torch.serialization.set_crc32_options(False)
                continue
            with archive.open(part) as file:
                while file.read(2**20):
                    pass


def _explain(path: str, error: Exception) -> str:
    text = str(error)
    unsafe = re.search(r'(?:GLOBAL|function) <?(?:built-in )?(?:function )?([\w.]+)', text)
    if isinstance(error, pickle.UnpicklingError) and unsafe is not None:
        return (
            f'checkpoint {path}: refused, the file wants to call {unsafe.group(1)}, which weights do not need; '
            f'{TRUST}=1 loads it nevertheless (only if you trust where it comes from)'
        )
    if 'CUDA' in text and 'deserialize' in text:
        return f'checkpoint {path}: {text.splitlines()[0]}'
    reason = text.splitlines()[0] if text else type(error).__name__
    reason = reason.replace('Weights only load failed. ', '')
    size = os.path.getsize(path)
    return f'checkpoint {path}: not a checkpoint, or damaged ({size} bytes; {type(error).__name__}: {reason[:120]})'


def _allow() -> None:
    """Add to torch's allow-list what mmengine writes, once."""
    if _allowed:
        return
    import torch

    _allowed.extend(_allow_list())
    torch.serialization.add_safe_globals(_allowed)


def _allow_list() -> list[Any]:
    from mmengine.logging.history_buffer import HistoryBuffer

    def history_method(cls: type, name: str) -> Callable:
        # A history pickles its statistics as getattr(HistoryBuffer, 'mean'); plain getattr would reach anything.
        if cls is not HistoryBuffer or name not in _HISTORY_METHODS:
            raise pickle.UnpicklingError(f'Unsupported global: GLOBAL builtins.getattr for {name}')
        return getattr(cls, name)

    return [HistoryBuffer, _named(history_method, 'builtins', 'getattr'), *numpy_names()]


def _named(function: Callable, module: str, name: str) -> Callable:
    """``function`` under the name by which a pickle asks for it (torch 2.4 and 2.5 have no other way to alias)."""

    def alias(*args: Any) -> Any:
        return function(*args)

    alias.__module__, alias.__name__, alias.__qualname__ = module, name, name
    return alias


def _load_from_local(filename: str, map_location: Any = None) -> Any:
    """mmengine's loader for files, under the name that its log line cuts the word 'local' from."""
    return load(filename, map_location)


def _load_from_http(
    filename: str, map_location: Any = None, model_dir: str | None = None, progress: bool = True
) -> Any:
    """Download once per machine into torch's cache, then :func:`load`. ``progress`` is mmengine's, and not used."""
    import torch
    from mmengine.dist import get_dist_info

    fetch = import_module('mmlight.weights.download').fetch  # of a room far above
    folder = Path(model_dir or os.path.join(torch.hub.get_dir(), 'checkpoints'))
    path = folder / os.path.basename(filename.split('?')[0])
    rank, world_size = get_dist_info()
    if rank == 0 and not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fetch(filename, path, 'checkpoint', 'give a local file', load)  # so that no other file stays
        except OSError as error:
            raise InputError(f'checkpoint {filename}: cannot be kept in {folder} ({error.strerror})') from error
    if world_size > 1:
        torch.distributed.barrier()
    return load(path, map_location)


_load_from_local.__name__ = 'load_from_local'
_load_from_http.__name__ = 'load_from_http'


def _load_from_torchvision(filename: str, map_location: Any = None) -> Any:
    """Weights by torchvision's name, from the addresses that mmengine lists: no torchvision is needed."""
    import json

    import mmengine

    name = filename.partition('://')[2]
    listed = json.loads((Path(mmengine.__file__).parent / 'hub' / 'torchvision_0.12.json').read_text(encoding='utf-8'))
    if name not in listed:
        near = difflib.get_close_matches(name, listed, 3) or sorted(listed)[:3]
        found = ', '.join(near)
        raise InputError(f'checkpoint {filename}: torchvision has no weights of this name; nearest: {found}')
    return _load_from_http(listed[name], map_location)


_load_from_torchvision.__name__ = 'load_from_torchvision'


def _checked(load_state_dict: Callable) -> Callable:
    @functools.wraps(load_state_dict)
    def load(module: Any, state_dict: dict, *args: Any, **kwargs: Any) -> None:
        for check in BEFORE_LOADING:
            state_dict = check(module, state_dict)
        load_state_dict(module, state_dict, *args, **kwargs)

    return load


def _with_state_dict(load_checkpoint: Callable) -> Callable:
    """Bare weights as a checkpoint of theirs for the runner's hooks: EMAHook reads the key that they do not have."""

    @functools.wraps(load_checkpoint)
    def load(*args: Any, **kwargs: Any) -> Any:
        content = load_checkpoint(*args, **kwargs)
        bare = isinstance(content, dict) and content and all(hasattr(value, 'dtype') for value in content.values())
        return {'state_dict': content} if bare else content

    return load


def _load_from_catalogue(filename: str, map_location: Any = None) -> Any:
    """The checkpoint that ``mmlight://NAME`` means, fetched and converted by one process for all of a machine."""
    import torch
    from mmengine.dist import get_dist_info

    get = import_module('mmlight.weights.download').get  # of a room far above
    name = filename.partition('://')[2]
    rank, world_size = get_dist_info()
    if rank == 0:
        get(name)
    if world_size > 1:
        torch.distributed.barrier()
    return load(get(name), map_location)


_load_from_catalogue.__name__ = 'load_from_catalogue'


def _apply(module: ModuleType) -> str:
    _allow()
    rebind(module.load_state_dict, _checked(module.load_state_dict))
    rebind(module.load_from_http, _load_from_http)  # the model-zoo schemes call it by name
    module.CheckpointLoader.register_scheme('', _load_from_local, force=True)
    module.CheckpointLoader.register_scheme(('http://', 'https://'), _load_from_http, force=True)
    module.CheckpointLoader.register_scheme(('modelzoo://', 'torchvision://'), _load_from_torchvision, force=True)
    module.CheckpointLoader.register_scheme('mmlight://', _load_from_catalogue, force=True)
    return f'weights_only=True with {len(_allowed)} allowed names; {TRUST}=1 trusts files'


def _apply_to_runner(module: Any) -> str:
    module._load_checkpoint = _with_state_dict(module._load_checkpoint)
    return 'bare weights load beside an EMAHook'


WALLS = (
    Wall('checkpoint', _apply, target='mmengine.runner.checkpoint'),
    Wall('checkpoint-runner', _apply_to_runner, target='mmengine.runner.runner'),
)
