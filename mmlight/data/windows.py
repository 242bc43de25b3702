"""Augmentation that chooses the window first and touches no pixel outside it.

mmdet's and mmseg's transforms decode, colour, enlarge, crop and resize in this order, each on the whole image; a light
network is trained faster than one core prepares its images that way. Here the geometry is drawn on numbers alone, then
the image is decoded (a JPEG at a half, a quarter or an eighth of its size where the window is shrunk anyway), cropped
and resized in one step, and coloured at the size that the network sees. The draws are those of the transforms named in
each docstring, in the same order: the same seed gives the same boxes. Pixels differ by interpolation only.

A pipeline is OpenImage, annotations, ColorTables, one or two windows, RenderWindow, flip::

    dict(type='mmlight.OpenImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='mmlight.ColorTables'),
    dict(type='mmlight.SSDWindow', fill=[103.53, 116.28, 123.675]),
    dict(type='mmlight.RenderWindow', scales=[(240, 240), (320, 320), (480, 480)]),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.image.geometric import rescale_size
from mmcv.transforms import BaseTransform

from mmlight.errors import InputError
from mmlight.registry import TRANSFORMS

TRIES = 50  # crops that MinIoURandomCrop draws for one least overlap


@dataclass(frozen=True)
class Window:
    """A rectangle in pixels of the stored image, which it may exceed, and the size (H, W) that it is drawn at."""

    left: float
    top: float
    width: float
    height: float
    size: tuple[int, int]

    def crop(self, left: int, top: int, size: tuple[int, int]) -> 'Window':
        """The part of ``size`` (H, W) at a corner, all in pixels of this window's ``size``."""
        down, across = self.height / self.size[0], self.width / self.size[1]
        return Window(self.left + left * across, self.top + top * down, size[1] * across, size[0] * down, size)


def move(
    results: dict, size: tuple[int, int], scale: tuple[float, float] = (1, 1), corner: tuple[int, int] = (0, 0)
) -> np.ndarray | None:
    """Scales mmdet's boxes by (x, y), moves them by minus the corner (x, y) and cuts them off at ``size`` (H, W).

    Returns:
        The boxes (N, 4), float32, or None where the image has none.
    """
    if (boxes := results.get('gt_bboxes')) is None:
        return None
    limits = np.tile(size[::-1], 2).astype(np.float32)
    moved = boxes.tensor.numpy() * np.tile(scale, 2).astype(np.float32) - np.tile(corner, 2).astype(np.float32)
    moved = np.clip(moved, 0, limits)
    boxes.tensor = torch.from_numpy(moved)
    return moved


def _keep(results: dict, mask: np.ndarray) -> None:
    """Drops the boxes where the (N,) mask is False, and what belongs to them."""
    (kept,) = mask.nonzero()
    boxes = results['gt_bboxes']
    boxes.tensor = torch.from_numpy(boxes.tensor.numpy()[kept])
    for key in ('gt_bboxes_labels', 'gt_ignore_flags', 'gt_masks'):
        if results.get(key) is not None:
            results[key] = results[key][kept]


def _crop_masks(results: dict, left: int, top: int, size: tuple[int, int]) -> None:
    if results.get('gt_masks') is not None:
        results['gt_masks'] = results['gt_masks'].crop(np.array([left, top, left + size[1], top + size[0]]))


class _WindowTransform(BaseTransform):
    """Moves ``window`` and mmdet's annotations together."""

    def transform(self, results: dict) -> dict | None:
        """Changes ``window``, ``img_shape``, boxes with labels, flags and masks."""
        if 'window' not in results:
            raise InputError(f'{type(self).__name__} needs mmlight.OpenImage before it, in place of LoadImageFromFile')
        return self._move(results)

    def _move(self, results: dict) -> dict | None:
        raise NotImplementedError

    @staticmethod
    def _set(results: dict, window: Window) -> None:
        results['window'], results['img_shape'] = window, window.size


@TRANSFORMS.register_module()
class SSDWindow(_WindowTransform):
    """mmdet's ``Expand`` and ``MinIoURandomCrop`` (SSD, arXiv 1512.02325, Sec. 2.2) in numbers alone.

    Args:
        fill: Colour (3,) of the canvas in the image's channel order.
        expand_ratio: Side of the canvas, as a factor of the image's; ``(1, 1)`` for none.
        expand_prob: Of a canvas.
        min_ious: One of them, or none, or 0, bounds the overlap of every box with the crop.
        min_crop_size: Least side of a crop, as a part of the canvas'.
    """

    def __init__(
        self,
        fill: Sequence[float] = (0, 0, 0),
        expand_ratio: tuple[float, float] = (1, 4),
        expand_prob: float = 0.5,
        min_ious: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
        min_crop_size: float = 0.3,
    ) -> None:
        if not 1 <= expand_ratio[0] <= expand_ratio[1]:
            raise InputError(
                f'SSDWindow: expand_ratio={expand_ratio}, must be (least, largest) with 1 <= least <= largest'
            )
        if not 0 < min_crop_size <= 1:
            raise InputError(f'SSDWindow: min_crop_size={min_crop_size}, allowed is more than 0 up to 1')
        self.fill, self.expand_ratio, self.expand_prob = tuple(fill), expand_ratio, expand_prob
        self.modes, self.min_crop_size = (1, *min_ious, 0), min_crop_size

    def _move(self, results: dict) -> dict:
        results['fill'] = self.fill
        if np.random.uniform(0, 1) <= self.expand_prob:
            self._expand(results)
        self._crop(results)
        return results

    def _expand(self, results: dict) -> None:
        height, width = results['img_shape']
        ratio = np.random.uniform(*self.expand_ratio)
        left = int(np.random.uniform(0, width * ratio - width))
        top = int(np.random.uniform(0, height * ratio - height))
        canvas = int(height * ratio), int(width * ratio)
        self._set(results, results['window'].crop(-left, -top, canvas))
        results['gt_bboxes'].translate_([left, top])
        if results.get('gt_masks') is not None:
            results['gt_masks'] = results['gt_masks'].expand(*canvas, top, left)

    def _crop(self, results: dict) -> None:
        boxes = results['gt_bboxes'].tensor.numpy()
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        while (mode := self.modes[np.random.randint(len(self.modes))]) != 1:
            patches, used, state = self._draw(*results['img_shape'])
            inside = ((centres > patches[:, None, :2]) & (centres < patches[:, None, 2:])).all(2)
            if len(boxes):
                (allowed,) = np.nonzero((_overlaps(boxes, patches).min(1) >= mode) & inside.any(1))
            else:
                allowed = np.arange(len(patches))
            if len(allowed):
                number = allowed[0]
                # what was drawn after the patch that is taken has not been drawn
                np.random.set_state(state)
                np.random.random_sample(used[number])
                left, top, right, bottom = patches[number].tolist()
                size = bottom - top, right - left
                self._set(results, results['window'].crop(left, top, size))
                _keep(results, inside[number])
                move(results, size, corner=(left, top))
                _crop_masks(results, left, top, size)
                return

    def _draw(self, height: int, width: int) -> tuple[np.ndarray, list[int], Any]:
        """Fifty draws of a crop: corners (M, 4) of the usable ones, numbers drawn up to each, and the state before."""
        state = np.random.get_state()
        pairs = np.random.random_sample((2 * TRIES, 2))
        whole, least = np.array((width, height)), self.min_crop_size
        sides = whole * (least + (1 - least) * pairs)
        fits = (np.abs(np.log2(sides[:, 1] / sides[:, 0])) <= 1).tolist()  # between 1 : 2 and 2 : 1
        at, places = 0, []
        for _ in range(TRIES):  # a pair for the sides, and one for the corner if the sides are of use
            if fits[at]:
                places.append(at)
            at += 1 + fits[at]
        numbers = np.array(places, np.int64)
        sides = sides[numbers]
        # mmdet's np.random.uniform(room) is between room and 1
        corners = whole - sides + (1 - whole + sides) * pairs[numbers + 1]
        patches = np.concatenate([corners, corners + sides], 1).astype(np.int64)
        usable = (patches[:, :2] < patches[:, 2:]).all(1)
        np.random.set_state(state)
        np.random.random_sample(2 * at)
        return patches[usable], (2 * numbers[usable] + 4).tolist(), state


def _overlaps(boxes: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """Intersection over union (M, N) of boxes (N, 4) with patches (M, 4)."""
    patches = patches[:, None]
    sides = np.minimum(boxes[:, 2:], patches[..., 2:]) - np.maximum(boxes[:, :2], patches[..., :2])
    shared = sides.clip(min=0).prod(2)
    areas = [(corners[..., 2:] - corners[..., :2]).prod(-1) for corners in (boxes, patches)]
    return shared / np.maximum(areas[0] + areas[1] - shared, 1e-6)


@TRANSFORMS.register_module()
class JitterWindow(_WindowTransform):
    """mmdet's or mmseg's ``RandomResize(keep_ratio=True)`` and ``RandomCrop`` in numbers alone (arXiv 1911.09070, 5.1).

    A label map, ``gt_seg_map`` (H, W), is resized (nearest) and cut here, since the choice of the crop depends on it.

    Args:
        crop_size: (height, width) at most.
        scale: (width, height) into which the image fits at ratio 1.
        ratio_range: Least and largest ratio, drawn evenly.
        scales: (width, height) to choose from, in place of scale and ratio, as mmcv's ``RandomChoiceResize``.
        cat_max_ratio: No class has a larger part of the crop's labels, tried ten times (mmseg); 1 for any.
        ignore_index: The label that does not count for that.
    """

    def __init__(
        self,
        crop_size: tuple[int, int],
        scale: tuple[int, int] | None = None,
        ratio_range: tuple[float, float] = (1, 1),
        scales: Sequence[tuple[int, int]] | None = None,
        cat_max_ratio: float = 1,
        ignore_index: int = 255,
    ) -> None:
        if bool(scale) == bool(scales):
            raise InputError(f'JitterWindow: scale={scale} and scales={scales}, give one of the two')
        if scales and tuple(ratio_range) != (1, 1):
            raise InputError(f'JitterWindow: ratio_range={ratio_range} goes with scale, not with scales={scales}')
        sides = [side for size in (crop_size, *([scale] if scale else scales or ())) for side in size]
        if min(*sides, *ratio_range) <= 0:
            raise InputError(
                f'JitterWindow: {scale or scales}, crop_size={crop_size}, ratio_range={ratio_range} must be above 0'
            )
        self.crop_size, self.scale, self.ratio_range, self.scales = crop_size, scale, ratio_range, scales
        self.cat_max_ratio, self.ignore_index = cat_max_ratio, ignore_index

    def _fits(self) -> tuple[int, int]:
        """(width, height) into which this image is to fit."""
        if self.scales:
            return self.scales[np.random.randint(len(self.scales))]
        (across, down), (least, largest) = self.scale or (0, 0), self.ratio_range
        ratio = np.random.random_sample() * (largest - least) + least
        return int(across * ratio), int(down * ratio)

    def _move(self, results: dict) -> dict:
        height, width = results['img_shape']
        across, down = rescale_size((width, height), self._fits())
        window = results['window']
        full = Window(window.left, window.top, window.width, window.height, (down, across))
        size = min(self.crop_size[0], down), min(self.crop_size[1], across)
        top, left = self._corner(results, (down, across), size)
        self._set(results, full.crop(left, top, size))
        results['scale_factor'] = across / width, down / height
        if results.get('gt_masks') is not None:
            results['gt_masks'] = results['gt_masks'].resize((down, across))
        if (boxes := move(results, size, results['scale_factor'], (left, top))) is not None:
            _keep(results, np.all((boxes[:, 2:] > 0) & (boxes[:, :2] < size[::-1]), axis=1))
        _crop_masks(results, left, top, size)
        if results.get('gt_seg_map') is not None:
            results['gt_seg_map'] = _nearest(results['gt_seg_map'], (down, across), left, top, size)
        return results

    def _corner(self, results: dict, full: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
        labels = results.get('gt_seg_map')
        tries = 11 if self.cat_max_ratio < 1 and labels is not None else 1
        for left_over in reversed(range(tries)):
            top, left = (np.random.randint(0, whole - part + 1) for whole, part in zip(full, size, strict=True))
            if left_over and labels is not None:
                part = _nearest(labels, full, left, top, size)
                counts = cv2.calcHist([part], [0], None, [256], [0, 256]).ravel()
                counts[self.ignore_index] = 0
                if np.count_nonzero(counts) > 1 and counts.max() < self.cat_max_ratio * counts.sum():
                    break
        return top, left


def _nearest(labels: np.ndarray, full: tuple[int, int], left: int, top: int, size: tuple[int, int]) -> np.ndarray:
    """The part at a corner of a label map resized to ``full``, as cv2.resize with INTER_NEAREST chooses pixels."""
    rows, columns = (
        np.minimum((np.arange(start, start + part) * (1 / (whole / stored))).astype(int), stored - 1)
        for start, part, stored, whole in zip((top, left), size, labels.shape, full, strict=True)
    )
    return labels.take(rows, 0).take(columns, 1)
