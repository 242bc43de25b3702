"""Checkpoints that survive a kill: whole or absent on disk, found again, and checked against the model."""

import errno
import os
import re
from pathlib import Path
from typing import ClassVar

import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import MessageHub
from torch import nn

from mmlight.errors import InputError
from mmlight.files import put
from mmlight.layers.arithmetic import check_records
from mmlight.layers.foreign_weights import renamed
from mmlight.runtime.config import one_line

OPTIONAL = ('num_batches_tracked', 'arithmetic')
"""Ends of the names that older checkpoints lack; what stands in them is checked when they are loaded."""


@register_backend('mmlight.atomic', force=True)
class AtomicBackend(LocalBackend):
    """Local files that are replaced in one step, for ``CheckpointHook(backend_args=dict(backend='mmlight.atomic'))``.

    mmengine writes a checkpoint straight to its final name and deletes the outdated one before that: a process killed
    in between leaves a torn file and, with ``max_keep_ckpts=1``, no other. Here a file appears complete under its name,
    and what is to be removed stays until the next file is written.
    """

    _outdated: ClassVar[list[Path]] = []  # mmengine makes a new backend for each call

    def put(self, obj: bytes, filepath: str | os.PathLike) -> None:
        """Write ``obj`` beside ``filepath``, move it there, then remove what was outdated.

        Raises:
            InputError: the disk is full; what stood there before still does.
        """
        path = Path(filepath)
        try:
            put(obj, path, sync=True)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            good = latest_checkpoint(path.parent)
            raise InputError(
                f'checkpoint {path}: no space left for its {len(obj) / 1e6:.1f} MB; the last good one is '
                f'{good or "none"}; free some space and go on with --resume'
            ) from error
        while self._outdated:
            old = self._outdated.pop()
            if old != path:
                old.unlink(missing_ok=True)

    def remove(self, filepath: str | os.PathLike) -> None:
        """Note ``filepath`` for removal after the next :meth:`put`."""
        self._outdated.append(Path(filepath))


def load(path: str | os.PathLike, name: str = 'checkpoint') -> dict:
    """Load a checkpoint file on the CPU without running code from it.

    Raises:
        InputError: it is missing, truncated, no checkpoint, or holds objects that are not allowed; ``name`` says which
            argument brought it.
    """
    from mmengine.runner.checkpoint import CheckpointLoader

    from mmlight.compat import checkpoint as compat

    if '://' in str(path):
        try:
            content = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
        except (KeyError, ImportError, AssertionError, OSError, ValueError, TypeError, RuntimeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f'{name} {path}: cannot be loaded from there ({one_line(error)})') from error
    elif not Path(path).is_file():
        raise InputError(f'{name} {path}: no such file')
    else:
        content = compat.load(path, map_location='cpu')
    if not isinstance(content, dict):
        raise InputError(f'{name} {path}: holds a {type(content).__name__}, not a dict of tensors or a checkpoint')
    return content


def latest_checkpoint(work_dir: str | os.PathLike) -> Path | None:
    """The checkpoint to resume from: the one that ``last_checkpoint`` names, else the newest that can be read."""
    folder = Path(work_dir)
    candidates: list[Path] = []
    pointer = folder / 'last_checkpoint'
    if pointer.is_file():
        named = Path(pointer.read_text().strip())
        candidates += [named, folder / named.name]  # the folder may have been moved
    numbered = [(int(m[1]), p) for p in folder.glob('*.pth') if (m := re.fullmatch(r'(?:epoch|iter)_(\d+)', p.stem))]
    candidates += [path for _, path in sorted(numbered, reverse=True)]
    for path in dict.fromkeys(candidates):
        if path.is_file():
            try:
                if 'meta' in load(path):
                    return path
            except InputError:
                continue
    return None


def check_resumable(content: dict, path: str | os.PathLike) -> None:
    """Refuse to resume from a file that holds no training state."""
    missing = [key for key in ('meta', 'state_dict', 'message_hub', 'optimizer') if key not in content]
    if missing:
        raise InputError(
            f'--resume {path}: no training state in it (lacks {", ".join(missing)}); to start from its weights use '
            f'--cfg-options load_from={path}'
        )
    hub = content['message_hub']
    needed = ('log_scalars', 'runtime_info', 'resumed_keys')
    if not isinstance(hub, MessageHub) and not (isinstance(hub, dict) and all(key in hub for key in needed)):
        raise InputError(f'--resume {path}: its message_hub is damaged, expected a dict of {", ".join(needed)}')


def weights_of(content: dict) -> dict[str, torch.Tensor]:
    """Name -> tensor, from a checkpoint or a bare ``state_dict``, without the prefix of data-parallel wrappers."""
    state = content.get('state_dict', content)
    if not isinstance(state, dict):
        raise InputError(f'checkpoint: its state_dict is a {type(state).__name__}, expected names and tensors')
    return {re.sub(r'^module\.', '', str(k)): v for k, v in state.items() if isinstance(v, torch.Tensor)}


def compare(model: nn.Module, content: dict) -> tuple[list[str], list[str], list[str]]:
    """Names of (missing, unexpected, differently shaped) entries of a checkpoint with respect to ``model``.

    Raises:
        InputError: the weights compute another function in one of its parts.
    """
    state = renamed(model, weights_of(content))
    own = {k: v for k, v in model.state_dict().items() if not k.endswith(OPTIONAL)}
    missing = [k for k in own if k not in state]
    unexpected = [k for k in state if k not in own and not k.endswith(OPTIONAL)]
    shaped = [
        f'{k} {tuple(state[k].shape)} instead of {tuple(v.shape)}'
        for k, v in own.items()
        if k in state and state[k].shape != v.shape
    ]
    return missing, unexpected, shaped


def check_fits(model: nn.Module, content: dict, path: str | os.PathLike | None, complete: bool = True) -> str | None:
    """Check a checkpoint against the model that is to take it.

    Args:
        model: without wrappers for data parallelism or test-time augmentation.
        content: of the checkpoint.
        path: its file, for messages.
        complete: every weight of the model is needed (test, predict, resume). Otherwise (fine-tuning) some must fit.

    Returns:
        A warning about what does not fit, or None.

    Raises:
        InputError: the checkpoint is of another model.
    """
    missing, unexpected, shaped = compare(model, content)
    total = len([k for k in model.state_dict() if not k.endswith(OPTIONAL)])
    another = 'of another shape' if complete else 'of another shape, which begin anew'
    parts = [
        f'{len(keys)} {what} ({", ".join(keys[:shown])}{", …" if len(keys) > shown else ""})'
        for keys, what, shown in (
            (missing, 'missing', 3),
            (shaped, another, 3 if complete else 24),
            (unexpected, 'unexpected', 3),
        )
        if keys
    ]
    if not parts:
        return None
    fitting = total - len(missing) - len(shaped)
    report = f'checkpoint {path}: {fitting} of the {total} weights of {type(model).__name__} fit; ' + ', '.join(parts)
    if total and (fitting == 0 or (complete and (missing or shaped))):
        raise InputError(f'{report}: it belongs to another model or other settings')
    return report


def load_into(model: nn.Module, content: dict) -> None:
    """Put a checkpoint that :func:`check_fits` into ``model``; EMA weights are already in their places.

    Raises:
        InputError: the weights are of another padding or epsilon.
    """
    model.load_state_dict(check_records(model, weights_of(content)), strict=False)
