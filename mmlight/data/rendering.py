"""Images read when they are known to be needed, drawn through a window, and coloured by tables: see :mod:`windows`."""

import hashlib
import io
import os
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from mmlight.data.loading import LoadImage
from mmlight.data.windows import Window, move
from mmlight.errors import InputError
from mmlight.files import put
from mmlight.images import read
from mmlight.registry import TRANSFORMS

ORIENTATION = 0x0112  # of EXIF
NEAR = 16  # pixels within which a resized part may begin earlier than the window
REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}


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
            # a header that cannot be read is for the decoder to complain of
            unreadable = OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError
            with suppress(*unreadable), Image.open(io.BytesIO(data)) as header:  # reads no pixel
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


@TRANSFORMS.register_module()
class RenderWindow(BaseTransform):
    """Decodes the image, crops and resizes it in one step, colours it: ``img`` (H, W, 3) uint8, ``img_shape`` (H, W).

    In memory the channels lie one behind the other, as mmdet and mmseg pack them.

    Args:
        scales: (width, height) to choose from, as mmcv's ``RandomChoiceResize(keep_ratio=False)``; None keeps the
            window's own size.
    """

    def __init__(self, scales: Sequence[tuple[int, int]] | None = None) -> None:
        self.scales = scales

    def transform(self, results: dict) -> dict:
        """Boxes and masks are moved to the new size; the label map was resized with the window."""
        if 'window' not in results:
            raise InputError('RenderWindow needs mmlight.OpenImage before it, in place of LoadImageFromFile')
        window = results.pop('window')
        if self.scales:
            width, height = self.scales[np.random.randint(len(self.scales))]
            results['scale'] = width, height
            results['scale_factor'] = width / window.size[1], height / window.size[0]
            window = Window(window.left, window.top, window.width, window.height, (height, width))
            move(results, window.size, results['scale_factor'])
            if results.get('gt_masks') is not None:
                results['gt_masks'] = results['gt_masks'].resize(window.size)
        fill, paint = results.pop('fill', (0, 0, 0)), results.pop('paint', None)
        results['img'] = _planar(_render(results.pop('source'), window, fill, paint))
        results['img_shape'] = window.size
        return results


def _render(source: np.ndarray | JPEG, window: Window, fill: Sequence[float], paint: Callable | None) -> np.ndarray:
    """The window's pixels (H, W, 3) uint8, of which ``paint`` colours those that are image and not ``fill``."""
    stored, size = np.array(source.shape[:2]), np.array(window.size)
    corner, extent = np.array((window.top, window.left)), np.array((window.height, window.width))
    (top, left), (bottom, right) = (
        np.clip(np.rint((edge - corner) / extent * size), 0, size).astype(int).tolist() for edge in (0 * stored, stored)
    )
    if bottom <= top or right <= left:
        return np.full((*window.size, 3), np.rint(fill), np.uint8)
    pixels = source.pixels((extent / size).min()) if isinstance(source, JPEG) else source
    shrunk = np.round(stored / pixels.shape[:2])  # sizes of reduced JPEGs are rounded up
    step, corner = extent / size / shrunk, corner / shrunk
    if (corner > -1e-6).all() and (corner + size * step < np.array(pixels.shape[:2]) + 1e-6).all():
        image = _resized_part(pixels, corner, step, window.size)
    else:
        # pixel centres are at half numbers, as in cv2.resize: an image and its resized form cover each other
        start = corner + step * (np.array((top, left)) + 0.5) - 0.5
        image = cv2.warpAffine(
            pixels,
            np.array([[step[1], 0, start[1]], [0, step[0], start[0]]]),
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    if paint is not None:
        image = paint(image)
    around = top, window.size[0] - bottom, left, window.size[1] - right
    return (
        cv2.copyMakeBorder(image, *around, cv2.BORDER_CONSTANT, value=np.rint(fill).tolist()) if any(around) else image
    )


def _resized_part(pixels: np.ndarray, corner: np.ndarray, step: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The part of ``size`` from a corner (y, x), at steps (y, x) between pixels; at a third of ``warpAffine``'s time.

    What is resized begins where a pixel of the result begins, too, up to some hundredths, within ``NEAR`` pixels.
    """
    slices, cuts = [], []
    for edge, pitch, count, length in zip(corner.tolist(), step.tolist(), size, pixels.shape, strict=False):
        firsts = np.arange(int(edge), max(int(edge) - NEAR, -1), -1)
        places = (edge - firsts) / pitch
        best = np.abs(places - np.rint(places)).round(3).argmin()
        first, skip = int(firsts[best]), int(np.rint(places[best]))
        slices.append(slice(first, min(ceil(first + (skip + count + 0.5) * pitch) + 1, length)))
        cuts.append(slice(skip, skip + count))
    return cv2.resize(pixels[tuple(slices)], None, fx=1 / step[1], fy=1 / step[0])[tuple(cuts)]


def _planar(image: np.ndarray) -> np.ndarray:
    planes = np.empty((3, *image.shape[:2]), np.uint8)
    cv2.split(image, list(planes))
    return planes.transpose(1, 2, 0)


@TRANSFORMS.register_module()
class ColorTables(BaseTransform):
    """mmdet's or mmseg's ``PhotoMetricDistortion`` by look-up tables on uint8.

    Before :class:`RenderWindow` it draws only, and the image is coloured at the size that the network sees, without the
    canvas around it; elsewhere it changes ``img``. Values beyond 0 to 255 are cut off; hue and saturation have 256
    steps. The draws are those of mmdet's.

    Args:
        brightness_delta, contrast_range, saturation_range: As there.
        hue_delta: Degrees, as mmdet's; mmseg counts in steps of two degrees.
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
        """Changes ``img`` (H, W, 3) uint8, now or when it is there."""
        paint = self._draw()
        if 'source' in results:
            results['paint'] = paint
        else:
            results['img'] = paint(results['img'])
        return results

    def _draw(self) -> Callable[[np.ndarray], np.ndarray]:
        first, brightness, contrast, saturation, hue, swap = (np.random.randint(2) for _ in range(6))
        delta = np.random.uniform(-self.brightness_delta, self.brightness_delta)
        alpha = np.random.uniform(*self.contrast_range)
        factor = np.random.uniform(*self.saturation_range)
        turn = np.random.uniform(-self.hue_delta, self.hue_delta)
        order = np.random.permutation(3)
        steps = np.arange(256.0)

        def paint(image: np.ndarray) -> np.ndarray:
            if brightness or (contrast and first):
                image = cv2.LUT(image, _bytes_of((steps + delta * brightness) * (alpha if contrast and first else 1)))
            if saturation or hue:
                image = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL)
                tables = [(steps + turn * 256 / 360 * hue) % 256, steps * (factor if saturation else 1), steps]
                image = cv2.cvtColor(cv2.LUT(image, _bytes_of(np.stack(tables, 1))[:, None]), cv2.COLOR_HSV2BGR_FULL)
            if contrast and not first:
                image = cv2.LUT(image, _bytes_of(steps * alpha))
            return image[..., order] if swap and self.swap_channels else image

        return paint


def _bytes_of(table: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(table), 0, 255).astype(np.uint8)
