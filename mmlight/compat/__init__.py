"""The only place that knows of version trouble between OpenMMLab's releases, PyTorch and Python.

``import mmlight`` calls :func:`install`. Each wall is a small module that exposes ``WALLS``; it does nothing where
nothing is broken. ``MMLIGHT_NO_COMPAT=1`` switches all of them off. ``mmlight doctor`` prints :func:`status`.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import partial
from types import ModuleType

from mmlight.compat import (
    checkpoint,
    cpu_amp,
    cpu_distributed,
    cross_entropy,
    environment_report,
    mmcv_version,
    numpy_names,
    op_check,
    ops_fallback,
    packages,
    soft_nms,
    ssd_head,
    timm,
)
from mmlight.compat.import_hook import on_import
from mmlight.compat.wall import NotNeededError, Wall

WALLS: tuple[Wall, ...] = tuple(
    wall
    for module in (
        ops_fallback,
        op_check,
        checkpoint,
        packages,
        environment_report,
        cpu_distributed,
        cpu_amp,
        mmcv_version,
        numpy_names,
        ssd_head,
        cross_entropy,
        soft_nms,
        timm,
    )
    for wall in module.WALLS
)

_logger = logging.getLogger('mmlight')


@dataclass(frozen=True)
class Record:
    """What became of one wall: ``state`` is applied, not needed, pending import, disabled or failed."""

    name: str
    state: str
    reason: str


_records: dict[str, Record] = {}


def install() -> None:
    """Apply every wall, or watch for the import that it waits for. Idempotent; never raises."""
    if _records:
        return
    if os.environ.get('MMLIGHT_NO_COMPAT', '') not in ('', '0'):
        for wall in WALLS:
            _records[wall.name] = Record(wall.name, 'disabled', 'MMLIGHT_NO_COMPAT is set')
        return
    for wall in WALLS:
        if wall.target is None:
            _apply(wall, None)
            continue
        _records[wall.name] = Record(wall.name, 'pending import', f'waits for the import of {wall.target}')
        on_import(wall.target, partial(_apply, wall), wall.before)


def status() -> list[Record]:
    """One record per wall, in the order in which they are applied; empty before :func:`install`."""
    return [_records[wall.name] for wall in WALLS if wall.name in _records]


def _apply(wall: Wall, module: ModuleType | None) -> None:
    try:
        _records[wall.name] = Record(wall.name, 'applied', wall.apply(module))
    except NotNeededError as reason:
        _records[wall.name] = Record(wall.name, 'not needed', str(reason))
    except Exception as error:  # a wall that does not fit must not take the program down; doctor shows it
        _records[wall.name] = Record(wall.name, 'failed', f'{type(error).__name__}: {error}')
        _logger.warning('compat %s failed: %s: %s', wall.name, type(error).__name__, error)
