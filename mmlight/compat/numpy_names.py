"""mmdet 3.3.0's evaluation of YouTube-VIS and mmcv 2.1.0's pixel grouping say ``np.float``: gone since NumPy 1.24."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from mmlight.compat.wall import NotNeededError, Wall


class _WithFloat(ModuleType):
    """numpy, for one module, with the name that it had."""

    float = float

    def __init__(self, numpy: ModuleType) -> None:
        super().__init__(numpy.__name__)
        self._numpy = numpy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numpy, name)


def _apply(module: Any) -> str:
    if 'float' in vars(module.np):
        raise NotNeededError('numpy has the name float')
    module.np = _WithFloat(module.np)
    return f'{module.__name__} reads np.float as float'


WALLS = (
    Wall('numpy-float', _apply, target='mmdet.evaluation.functional.ytviseval'),
    Wall('numpy-float-mmcv', _apply, target='mmcv.ops.pixel_group'),
)
