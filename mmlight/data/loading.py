"""Reading images and labels without being fooled by damaged or wrong files."""

import logging

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.logging import print_log

from mmlight.errors import InputError
from mmlight.images import read
from mmlight.registry import TRANSFORMS

ON_ERROR = ('raise', 'skip')


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` that notices missing, truncated and undecodable files.

    Adds to the result dict, as mmcv does: ``img`` (H, W, C) uint8 or float32, ``img_shape`` and ``ori_shape`` (H, W).

    Args:
        on_error: ``'raise'`` stops with an InputError that names the file; ``'skip'`` logs the file (once a process)
            and returns None, upon which mmdet's and mmseg's data sets draw another image in training. Data sets in
            test mode cannot skip: leave ``'raise'`` there.
        kwargs: of ``LoadImageFromFile``; ``ignore_empty=True`` is ``on_error='skip'``.

    Raises:
        InputError: on_error is neither; with ``'raise'``, the image cannot be read.
    """

    def __init__(self, on_error: str = 'raise', **kwargs) -> None:
        super().__init__(**kwargs)
        if on_error not in ON_ERROR:
            raise InputError(f'LoadImage: on_error={on_error!r}, allowed are {", ".join(map(repr, ON_ERROR))}')
        self.on_error = 'skip' if self.ignore_empty else on_error
        self._reported: set[str] = set()

    def transform(self, results: dict) -> dict | None:
        path = str(results['img_path'])
        try:
            image = self._read(path)
        except InputError as error:
            if self.on_error == 'raise':
                raise
            if path not in self._reported:
                self._reported.add(path)
                print_log(f'{error}; skipped', logger='current', level=logging.WARNING)
            return None
        if self.to_float32:
            image = image.astype(np.float32)
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def _read(self, path: str) -> np.ndarray:
        return self._decode(path, read(path, self.backend_args))

    def _decode(self, path: str, data: bytes) -> np.ndarray:
        try:
            image = mmcv.imfrombytes(data, flag=self.color_type, backend=self.imdecode_backend)
        except Exception as error:  # each decoder has its own
            raise InputError(f'image {path}: cannot be decoded ({" ".join(str(error).split())})') from error
        if image is None:
            raise InputError(f'image {path}: cannot be decoded')
        return image

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, on_error={self.on_error!r})'


@TRANSFORMS.register_module()
class CheckLabels(BaseTransform):
    """Stops at a label outside the classes, of which a loss would only say that an index is out of range.

    Stands behind ``LoadAnnotations`` and, best, behind the crop; without a ``gt_seg_map`` it does nothing.

    Args:
        num_classes: Labels 0 to ``num_classes - 1`` are allowed.
        ignore_index: And this one.

    Raises:
        InputError: names the label file and the values.
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        self.num_classes = num_classes
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Passes ``results`` on, whose ``gt_seg_map`` is (H, W) uint8."""
        if 'gt_seg_map' not in results:
            return results
        found = np.flatnonzero(np.bincount(results['gt_seg_map'].ravel())).tolist()
        wrong = [value for value in found if value >= self.num_classes and value != self.ignore_index]
        if wrong:
            raise InputError(
                f'label file {results.get("seg_map_path")}: values {", ".join(map(str, wrong))} are beyond the '
                f'{self.num_classes} classes (0 to {self.num_classes - 1}, {self.ignore_index} = ignore)'
            )
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(num_classes={self.num_classes}, ignore_index={self.ignore_index})'
