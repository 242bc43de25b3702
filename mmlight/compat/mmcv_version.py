"""mmdet 3.3.0 and mmseg 1.2.2 assert mmcv < 2.2.0 when imported, although mmcv 2.2 and 2.3 work.

They see ``2.1.0`` while their ``__init__`` runs; no file is touched and ``mmcv.__version__`` is right again afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import ModuleType

from mmlight.compat.wall import NotNeededError, Wall

ACCEPTED = '2.1.0'
_logger = logging.getLogger('mmlight')
_relaxed: dict[str, str] = {}


def _is_relaxable(version: str) -> bool:
    from packaging.version import Version

    found = Version(version)
    return found >= Version('2.2.0') and found.major < 3


def _before(package: str) -> Callable[[], Callable[[], None] | None]:
    def before() -> Callable[[], None] | None:
        try:
            import mmcv
        except ImportError:  # the package's own message about mmcv is the better one
            return None
        version = mmcv.__version__
        if not _is_relaxable(version):
            return None
        if not _relaxed:
            _logger.warning('mmcv %s is newer than mmdet 3.3 and mmseg 1.2 allow (< 2.2.0); trying it', version)
        _relaxed[package] = version
        mmcv.__version__ = ACCEPTED

        def undo() -> None:
            mmcv.__version__ = version

        return undo

    return before


def _apply(module: ModuleType) -> str:
    version = _relaxed.get(module.__name__)
    if version is None:
        raise NotNeededError('mmcv is older than 2.2, or was accepted')
    return f'mmcv {version} accepted by {module.__name__} {module.__version__}'


WALLS = tuple(
    Wall(f'mmcv-version-{package}', _apply, target=package, before=_before(package)) for package in ('mmdet', 'mmseg')
)
