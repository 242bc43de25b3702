"""Checkpoints for others: the weights and what describes them, nothing that only continues the training."""

from __future__ import annotations

import io
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmlight.errors import InputError
from mmlight.runtime.checkpoint import AtomicBackend, load

KEPT = ('meta', 'state_dict')


def publish(
    in_file: str | Path, out_file: str | Path, save_keys: Sequence[str] = KEPT, averaged: bool = True
) -> tuple[Path, list[str]]:
    """Write a checkpoint without optimizer, schedulers and message hub.

    Args:
        in_file: what a runner saved, or a bare state dict.
        out_file: ``X`` or ``X.pth``; the file written is ``X-<first 8 hex digits of its SHA-256>.pth``.
        save_keys: what to keep of the checkpoint.
        averaged: keep the moving average if the training made one (mmengine stores it as the state dict); False
            publishes the last raw weights.

    Returns:
        The path written and the keys left out.

    The file appears whole or not at all, equal content gives an equal name, and ``torch.load(weights_only=True)``
    reads it with no allow-list: metadata other than plain Python values becomes plain.

    Raises:
        InputError: the checkpoint cannot be read, lacks a key to save, or has no moving average to undo.
    """
    checkpoint = load(in_file)
    if 'state_dict' not in checkpoint:
        if not checkpoint or not all(isinstance(value, torch.Tensor) for value in checkpoint.values()):
            raise InputError(f'{in_file}: has no `state_dict`; it holds {", ".join(map(str, checkpoint)) or "nothing"}')
        checkpoint = {'meta': {}, 'state_dict': checkpoint}
    missing = [key for key in save_keys if key not in checkpoint]
    if missing:
        raise InputError(f'--save-keys {" ".join(missing)}: not in {in_file}, which has {", ".join(checkpoint)}')
    if not averaged:
        if 'ema_state_dict' not in checkpoint:
            raise InputError(f'--no-ema: {in_file} holds no moving average, its weights are the raw ones already')
        raw = {key.removeprefix('module.'): value for key, value in checkpoint['ema_state_dict'].items()}
        checkpoint['state_dict'] = {key: raw.get(key, value) for key, value in checkpoint['state_dict'].items()}
    content = io.BytesIO()  # torch.save to a path would store its name, and the hash would depend on it
    torch.save({key: _plain(checkpoint[key]) for key in save_keys}, content)
    digest = sha256(content.getbuffer()).hexdigest()[:8]
    out_file = Path(out_file)
    stem = out_file.stem if out_file.suffix == '.pth' else out_file.name
    path = out_file.with_name(f'{stem}-{digest}.pth')
    AtomicBackend().put(content.getvalue(), path)
    return path, [key for key in checkpoint if key not in save_keys]


def _plain(value: Any) -> Any:
    """Tensors and built-in types only; what is neither becomes its text."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()  # a view would drag its whole storage into the file
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else list(map(_plain, value))
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return value if value is None or type(value) in (str, int, float, bool) else str(value)
