"""What NumPy has removed since mmdet 3.3.0 and mmcv 2.1.0: ``np.float`` (1.24), ``np.where`` of a plain bool (2.1).

The name is in mmdet's evaluation of YouTube-VIS and mmcv's pixel grouping. ``CocoMetric(iou_thrs=[...])`` of mmdet
hands its list to pycocotools, which compares it with a number.
"""

from __future__ import annotations

import functools
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


def _apply_thresholds(module: Any) -> str:
    import numpy as np

    init = module.CocoMetric.__init__

    @functools.wraps(init)
    def with_array(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        self.iou_thrs = np.atleast_1d(self.iou_thrs)

    module.CocoMetric.__init__ = with_array
    return 'CocoMetric compares its thresholds as an array'


WALLS = (
    Wall('numpy-where', _apply_thresholds, target='mmdet.evaluation.metrics.coco_metric'),
    Wall('numpy-float', _apply, target='mmdet.evaluation.functional.ytviseval'),
    Wall('numpy-float-mmcv', _apply, target='mmcv.ops.pixel_group'),
)
