"""Augmentation that chooses the window first and touches no pixel outside it.

mmdet's and mmseg's transforms decode, colour, enlarge, crop and resize in this order, each on the whole image; a light
network is trained faster than one core prepares its images that way. Here the geometry is drawn on numbers alone, then
the image is decoded (a JPEG at a half, a quarter or an eighth of its size where the window is shrunk anyway), cropped
and resized in one step, and coloured at the size that the network sees. The draws are those of the transforms named in
each docstring, in the same order: the same seed gives the same boxes. Pixels differ by interpolation only.

A pipeline is :class:`OpenImage`, annotations, one or two windows, :class:`RenderWindow`, :class:`ColorTables`, flip::

    dict(type='mmlight.OpenImage'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='mmlight.SSDWindow', fill=[103.53, 116.28, 123.675]),
    dict(type='mmlight.RenderWindow', scales=[(240, 240), (320, 320), (480, 480)]),
    dict(type='mmlight.ColorTables'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
"""

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.image.geometric import rescale_size
from mmcv.transforms import BaseTransform
from PIL import Image

from mmlight.data.loading import LoadImage
from mmlight.errors import InputError
from mmlight.files import put
from mmlight.images import read
from mmlight.registry import TRANSFORMS

ORIENTATION = 0x0112  # of EXIF
TRIES = 50  # crops that MinIoURandomCrop draws for one least overlap
REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


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


class JPEG:
    """The bytes of a JPEG, decoded when the window is known."""

    def __init__(self, path: str, data: bytes, shape: tuple[int, int]) -> None:
        self.path, self.data, self.shape = path, data, shape

    def pixels(self, shrink: float) -> np.ndarray:
        """(H, W, 3) uint8 BGR, smaller by the largest of 1, 2, 4, 8 that is at most ``shrink``."""
        factor = next((factor for factor in (8, 4, 2) if factor <= shrink), 1)
        image = cv2.imdecode(np.frombuffer(self.data, np.uint8), REDUCED[factor])
        if image is None:
            raise InputError(f'image {self.path}: cannot be decoded')
        return image


@TRANSFORMS.register_module()
class OpenImage(LoadImage):
    """Reads a file and its size, and decodes only what cannot wait: anything but an upright JPEG of three channels.

    Adds ``source`` (a :class:`JPEG`, or the decoded (H, W, 3) uint8), ``window`` (all of it), ``img_shape`` and
    ``ori_shape`` (H, W); ``img`` comes with :class:`RenderWindow`. Other arguments and errors: ``LoadImage``'s.

    Args:
        cache_dir: Folder that keeps every image decoded (3 bytes a pixel, 0.9 MB at 640 x 480), from which only the
            window is read in later epochs, by all workers. Made if it is missing; changed images are decoded again.
    """

    def __init__(self, cache_dir: str | None = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.cache_dir = Path(cache_dir) if cache_dir else None

    def _read(self, path: str) -> Any:
        """An array, or a :class:`JPEG` that is not decoded yet."""
        if self.cache_dir:
            return self._cached(path, self.cache_dir)
        data = read(path, self.backend_args)
        if data.startswith(b'\xff\xd8') and self.color_type == 'color':
            with Image.open(io.BytesIO(data)) as header:  # reads no pixel
                if header.mode == 'RGB' and header.getexif().get(ORIENTATION, 1) == 1:
                    return JPEG(path, data, header.size[::-1])
        return self._decode(path, data)

    def _cached(self, path: str, folder: Path) -> np.ndarray:
        try:
            state = os.stat(path)
        except OSError as error:
            raise InputError(f'image {path}: {error.strerror}') from error
        key = f'{os.path.abspath(path)} {state.st_size} {state.st_mtime_ns} {self.color_type}'
        file = folder / f'{hashlib.sha256(key.encode()).hexdigest()}.npy'
        if not file.exists():
            content = io.BytesIO()
            np.save(content, self._decode(path, read(path, self.backend_args)))
            put(content.getbuffer(), file)
        return np.load(file, mmap_mode='r')

    def transform(self, results: dict) -> dict | None:
        if super().transform(results) is None:
            return None
        results['source'] = results.pop('img')
        height, width = results['img_shape']
        results['window'] = Window(0, 0, width, height, (height, width))
        return results


def _keep(results: dict, mask: np.ndarray) -> None:
    """Drops the boxes where the (N,) mask is False, and what belongs to them."""
    for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags'):
        if results.get(key) is not None:
            results[key] = results[key][mask]


class _WindowTransform(BaseTransform):
    """Moves ``window`` and ``gt_bboxes`` (mmdet's boxes) together."""

    def transform(self, results: dict) -> dict | None:
        """Changes ``window``, ``img_shape``, boxes with labels and flags. Instance masks are refused."""
        if 'window' not in results:
            raise InputError(f'{type(self).__name__} needs mmlight.OpenImage before it, in place of LoadImageFromFile')
        if results.get('gt_masks') is not None:
            raise InputError(f"{type(self).__name__} moves boxes and label maps; for instance masks use mmdet's crops")
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
        self._set(results, results['window'].crop(-left, -top, (int(height * ratio), int(width * ratio))))
        results['gt_bboxes'].translate_([left, top])

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
                self._set(results, results['window'].crop(left, top, (bottom - top, right - left)))
                _keep(results, inside[number])
                results['gt_bboxes'].translate_([-left, -top])
                results['gt_bboxes'].clip_(results['img_shape'])
                return

    def _draw(self, height: int, width: int) -> tuple[np.ndarray, list[int], Any]:
        """Fifty draws of a crop: corners (M, 4) of the usable ones, numbers drawn up to each, and the state before."""
        state = np.random.get_state()
        drawn = iter(np.random.random_sample(4 * TRIES).tolist())
        least, taken, patches, used = self.min_crop_size, 0, [], []
        for _ in range(TRIES):
            wide = width * (least + (1 - least) * next(drawn))
            high = height * (least + (1 - least) * next(drawn))
            taken += 2
            if not 0.5 <= high / wide <= 2:
                continue
            # mmdet's np.random.uniform(room) is between room and 1
            left = width - wide + (1 - width + wide) * next(drawn)
            top = height - high + (1 - height + high) * next(drawn)
            taken += 2
            patch = int(left), int(top), int(left + wide), int(top + high)
            if patch[0] < patch[2] and patch[1] < patch[3]:
                patches.append(patch)
                used.append(taken)
        np.random.set_state(state)
        np.random.random_sample(taken)
        return np.array(patches, np.int64).reshape(-1, 4), used, state


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
        scale: (width, height) into which the image fits at ratio 1.
        crop_size: (height, width) at most.
        ratio_range: Least and largest ratio, drawn evenly.
        ratios: Ratios to choose from, in place of the range.
        cat_max_ratio: No class has a larger part of the crop's labels, tried ten times (mmseg); 1 for any.
        ignore_index: The label that does not count for that.
    """

    def __init__(
        self,
        scale: tuple[int, int],
        crop_size: tuple[int, int],
        ratio_range: tuple[float, float] = (1, 1),
        ratios: Sequence[float] | None = None,
        cat_max_ratio: float = 1,
        ignore_index: int = 255,
    ) -> None:
        if min(*scale, *crop_size, *(ratios or ratio_range)) <= 0:
            raise InputError(
                f'JitterWindow: scale={scale}, crop_size={crop_size}, ratios {ratios or ratio_range} must be above 0'
            )
        self.scale, self.crop_size, self.ratio_range, self.ratios = scale, crop_size, ratio_range, ratios
        self.cat_max_ratio, self.ignore_index = cat_max_ratio, ignore_index

    def _ratio(self) -> float:
        if self.ratios:
            return self.ratios[np.random.randint(len(self.ratios))]
        least, largest = self.ratio_range
        return np.random.random_sample() * (largest - least) + least

    def _move(self, results: dict) -> dict:
        height, width = results['img_shape']
        ratio = self._ratio()
        fits = int(self.scale[0] * ratio), int(self.scale[1] * ratio)
        across, down = rescale_size((width, height), fits)
        window = results['window']
        full = Window(window.left, window.top, window.width, window.height, (down, across))
        size = min(self.crop_size[0], down), min(self.crop_size[1], across)
        top, left = self._corner(results, (down, across), size)
        self._set(results, full.crop(left, top, size))
        results['scale_factor'] = across / width, down / height
        if results.get('gt_bboxes') is not None:
            boxes = results['gt_bboxes']
            boxes.rescale_(results['scale_factor'])
            boxes.clip_((down, across))
            boxes.translate_([-left, -top])
            boxes.clip_(size)
            _keep(results, boxes.is_inside(size).numpy())
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


@TRANSFORMS.register_module()
class RenderWindow(BaseTransform):
    """Decodes the image, crops and resizes it in one step: ``img`` (H, W, 3) uint8, ``img_shape`` (H, W).

    Also sets ``drawn``: left, top, right and bottom of the part of ``img`` that is image and not ``fill``.

    Args:
        scales: (width, height) to choose from, as mmcv's ``RandomChoiceResize(keep_ratio=False)``; None keeps the
            window's own size.
    """

    def __init__(self, scales: Sequence[tuple[int, int]] | None = None) -> None:
        self.scales = scales

    def transform(self, results: dict) -> dict:
        """Boxes are moved to the new size; the label map was resized with the window."""
        if 'window' not in results:
            raise InputError('RenderWindow needs mmlight.OpenImage before it, in place of LoadImageFromFile')
        window = results.pop('window')
        if self.scales:
            width, height = self.scales[np.random.randint(len(self.scales))]
            results['scale'] = width, height
            results['scale_factor'] = width / window.size[1], height / window.size[0]
            window = Window(window.left, window.top, window.width, window.height, (height, width))
            if results.get('gt_bboxes') is not None:
                results['gt_bboxes'].rescale_(results['scale_factor'])
                results['gt_bboxes'].clip_(window.size)
        results['img'], results['drawn'] = _render(results.pop('source'), window, results.pop('fill', (0, 0, 0)))
        results['img_shape'] = window.size
        return results


def _render(
    source: np.ndarray | JPEG, window: Window, fill: Sequence[float]
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """The window's pixels (H, W, 3) uint8, and left, top, right, bottom of what is image in them."""
    stored, size = np.array(source.shape[:2]), np.array(window.size)
    corner, extent = np.array((window.top, window.left)), np.array((window.height, window.width))
    pixels = source.pixels((extent / size).min()) if isinstance(source, JPEG) else source
    shrunk = np.round(stored / pixels.shape[:2])  # sizes of reduced JPEGs are rounded up
    edges = np.concatenate([corner / shrunk, (corner + extent) / shrunk])
    (y1, x1, y2, x2), whole = np.rint(edges).astype(int).tolist(), np.abs(edges - np.rint(edges)).max() < 1e-3
    if whole and min(y1, x1) >= 0 and y2 <= pixels.shape[0] and x2 <= pixels.shape[1]:  # the quicker way
        return cv2.resize(pixels[y1:y2, x1:x2], window.size[::-1]), (0, 0, *window.size[::-1])
    (top, left), (bottom, right) = (
        np.clip(np.rint((edge - corner) / extent * size), 0, size).astype(int).tolist() for edge in (0 * stored, stored)
    )
    if bottom <= top or right <= left:
        return np.full((*window.size, 3), np.rint(fill), np.uint8), (0, 0, 0, 0)
    step = extent / size / shrunk
    # pixel centres are at half numbers, as in cv2.resize: an image and its resized form cover each other
    start = corner / shrunk + step * (np.array((top, left)) + 0.5) - 0.5
    image = cv2.warpAffine(
        pixels,
        np.array([[step[1], 0, start[1]], [0, step[0], start[0]]]),
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    around = top, window.size[0] - bottom, left, window.size[1] - right
    if any(around):
        image = cv2.copyMakeBorder(image, *around, cv2.BORDER_CONSTANT, value=np.rint(fill).tolist())
    return image, (left, top, right, bottom)


@TRANSFORMS.register_module()
class ColorTables(BaseTransform):
    """mmdet's or mmseg's ``PhotoMetricDistortion`` by look-up tables on uint8, on the drawn part of the image only.

    Values beyond 0 to 255 are cut off; hue and saturation have 256 steps. The draws are those of mmdet's.

    Args:
        brightness_delta, contrast_range, saturation_range, hue_delta: As there; degrees of hue.
        swap_channels: Whether the channels change places half of the time (mmdet) or never (mmseg).
    """

    def __init__(
        self,
        brightness_delta: float = 32,
        contrast_range: tuple[float, float] = (0.5, 1.5),
        saturation_range: tuple[float, float] = (0.5, 1.5),
        hue_delta: float = 18,
        swap_channels: bool = True,
    ) -> None:
        self.brightness_delta, self.hue_delta, self.swap_channels = brightness_delta, hue_delta, swap_channels
        self.contrast_range, self.saturation_range = contrast_range, saturation_range

    def transform(self, results: dict) -> dict:
        """Changes ``img`` (H, W, 3) uint8."""
        left, top, right, bottom = results.get('drawn', (0, 0, *results['img'].shape[1::-1]))
        part = results['img'][top:bottom, left:right]
        if part.shape == results['img'].shape:
            results['img'] = self._coloured(part)
        elif part.size:
            part[:] = self._coloured(part)
        return results

    def _coloured(self, image: np.ndarray) -> np.ndarray:
        first, brightness, contrast, saturation, hue, swap = (np.random.randint(2) for _ in range(6))
        delta = np.random.uniform(-self.brightness_delta, self.brightness_delta)
        alpha = np.random.uniform(*self.contrast_range)
        factor = np.random.uniform(*self.saturation_range)
        turn = np.random.uniform(-self.hue_delta, self.hue_delta)
        order = np.random.permutation(3)
        steps = np.arange(256.0)
        if brightness or (contrast and first):
            image = cv2.LUT(image, _bytes_of((steps + delta * brightness) * (alpha if contrast and first else 1)))
        if saturation or hue:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL)
            tables = np.stack([(steps + turn * 256 / 360 * hue) % 256, steps * (factor if saturation else 1), steps], 1)
            image = cv2.cvtColor(cv2.LUT(image, _bytes_of(tables)[:, None]), cv2.COLOR_HSV2BGR_FULL)
        if contrast and not first:
            image = cv2.LUT(image, _bytes_of(steps * alpha))
        return image[..., order] if swap and self.swap_channels else image


def _bytes_of(table: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(table), 0, 255).astype(np.uint8)
