"""Reading the bytes of image files without being fooled by damaged ones; the storage backend ``checked``."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from mmlight.errors import InputError

BACKEND = 'checked'
# JPEG, PNG, GIF, WebP, TIFF, BMP, PNM, JPEG 2000, OpenEXR, Radiance, Sun raster
_SIGNATURES = (b'\xff\xd8', b'\x89PNG', b'GIF8', b'RIFF', b'II*\0', b'MM\0*', b'BM', *(b'P%d' % i for i in range(1, 8)))
_SIGNATURES += (b'\xff\x4f\xff\x51', b'\0\0\0\x0cjP', b'v/1\x01', b'#?R', b'\x59\xa6\x6a\x95')


def damage(data: bytes) -> str | None:
    """What is wrong with the bytes of an image file as far as its end tells, or None.

    Several versions of OpenCV decode a JPEG or PNG that stops half-way without complaint and leave the rest grey or
    black, so the end marker is looked for. Other formats are left to the decoder.
    """
    if not data:
        return 'empty file'
    if data.startswith(b'\xff\xd8'):
        # the end of an embedded thumbnail does not count: search behind the header of the first scan only
        return None if data.rfind(b'\xff\xd9', _first_scan(data)) >= 0 else 'truncated JPEG (no end marker)'
    if data.startswith(b'\x89PNG\r\n\x1a\n'):
        return None if data.rfind(b'IEND\xaeB\x60\x82') >= 0 else 'truncated PNG (no end chunk)'
    if data.startswith(b'RIFF') and len(data) < 8 + int.from_bytes(data[4:8], 'little'):
        return 'truncated WebP'
    return None


def _first_scan(data: bytes) -> int:
    """Offset of a JPEG's first scan, or the length of ``data`` where there is none."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:
            return at + 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
        if marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD8:  # fill byte, or a marker without a length
            at += 1 if marker == 0xFF else 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    return len(data)


def _bomb(data: bytes) -> str | None:
    """What Pillow says of an image whose few bytes would become gigabytes of pixels, by its header alone, or None."""
    from PIL import Image

    try:
        with Image.open(BytesIO(data)):
            return None
    except Image.DecompressionBombError as error:
        return ' '.join(str(error).split())
    except Exception:  # the decoder tells what it cannot read
        return None


def read(path: str, backend_args: dict | None = None) -> bytes:
    """The bytes of an image file, from wherever mmengine reads.

    Raises:
        InputError: names the file, and says that it is missing or damaged.
    """
    from mmengine import fileio

    try:
        data = fileio.get(path, backend_args=backend_args)
    except OSError as error:
        raise InputError(f'image {path}: {error.strerror or error}') from error
    fault = damage(data) or _bomb(data)
    if fault:
        raise InputError(f'image {path}: {fault}')
    return data


def register_backend(module: Any) -> None:
    """Add to mmengine's storage backends the one that the shipped configs read images with.

    ``dict(type='LoadImageFromFile', backend_args=dict(backend='checked'))`` is the transform that every tool of
    OpenMMLab knows, and still stops at a damaged image (or skips it, with ``ignore_empty=True``).

    Args:
        module: ``mmengine.fileio.backends``.
    """

    class CheckedImages(module.LocalBackend):
        def get(self, filepath: str) -> bytes:
            data = read(str(filepath))
            if not data.startswith(_SIGNATURES) and data[4:8] != b'ftyp':
                raise InputError(f'image {filepath}: cannot be decoded (no format of images begins like this)')
            return data

    module.register_backend(BACKEND, CheckedImages, force=True)
