"""What prediction reads: image files, folders, patterns, videos, webcams, addresses, and lists of them."""

import contextlib
import glob
import http.client
import logging
import os
import shutil
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from mmengine.logging import print_log

from mmlight.data import LoadImage
from mmlight.errors import InputError

LONGEST_NAME = 255  # bytes, on every usual file system
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm')
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mov', '.mkv', '.webm', '.m4v', '.mpg', '.mpeg')
USUAL_RATE = 25.0  # frames a second, of webcams and files that do not say theirs


@dataclass(frozen=True)
class Frame:
    """One image to predict on.

    Attributes:
        source: the file, address or number of the webcam, as it was given.
        image: (H, W, 3) uint8, BGR.
        path: the image file on this machine; None for frames of a video.
        number: of the frame in its video, from 0; None for image files.
        rate: frames a second of the video.
    """

    source: str
    image: np.ndarray
    path: Path | None = None
    number: int | None = None
    rate: float = USUAL_RATE

    @property
    def name(self) -> str:
        """A file name for what is made of it."""
        if is_url(self.source):
            return Path(urllib.parse.unquote(urllib.parse.urlsplit(self.source).path)).name or 'image'
        return f'webcam{self.source}' if is_webcam(self.source) else Path(self.source).name


def is_url(source: str) -> bool:
    """Whether it is an address on the web."""
    return source.lower().startswith(('http://', 'https://'))


def is_webcam(source: str) -> bool:
    """Whether it is a number, and no file of that name."""
    return source.isascii() and source.isdigit() and not os.path.exists(source)


def is_video(source: str) -> bool:
    """Whether it has many frames."""
    path = urllib.parse.urlsplit(source).path if is_url(source) else source
    return is_webcam(source) or path.lower().endswith(VIDEO_SUFFIXES)


def find_images(
    patterns: Sequence[str | os.PathLike], suffixes: tuple[str, ...] = IMAGE_SUFFIXES, what: str = 'image'
) -> list[Path]:
    """The image files that ``patterns`` (files, folders with all below them, globs) mean, in order, each once.

    Raises:
        InputError: a pattern matches nothing.
    """
    files: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if len(os.fsencode(path.name)) > LONGEST_NAME:
            raise InputError(f'image {path.name[:40]}…: no file has a name of {len(path.name)} characters')
        if path.is_dir():
            found = sorted(p for p in path.rglob('*') if p.suffix.lower() in suffixes)
            if not found:
                raise InputError(f'image folder {path}: holds no {what} ({", ".join(suffixes)})')
        elif path.exists():
            found = [path]
        else:
            found = sorted(Path(p) for p in glob.glob(str(pattern), recursive=True) if Path(p).is_file())
            if not found:
                raise InputError(f'image {pattern}: no such file, folder or pattern')
        files += found
    if not files:
        raise InputError('no image given')
    return list(dict.fromkeys(files))


def find_sources(given: Sequence[str | os.PathLike]) -> list[str]:
    """What :func:`frames` can read, in order, each once.

    Args:
        given: files, folders with all images and videos below them, patterns, addresses (``http://…``), numbers of
            webcams, and ``-`` for a list of these on standard input, one a line. A line that is no file stays in the
            list, and fails when its turn comes.

    Raises:
        InputError: an entry means nothing.
    """
    found: list[str] = []
    for one in (os.fspath(entry) for entry in given):
        if one != '-':
            found += _expanded(one)
            continue
        for line in filter(None, (line.strip('\r\n') for line in sys.stdin)):
            try:
                found += _expanded(line)
            except InputError:
                found.append(line)
    if not found:
        raise InputError('no image given')
    return list(dict.fromkeys(found))


def _expanded(source: str) -> list[str]:
    if is_url(source) or is_webcam(source):
        return [source]
    return [str(file) for file in find_images([source], IMAGE_SUFFIXES + VIDEO_SUFFIXES, 'image or video')]


def length(source: str) -> int | None:
    """How many frames :func:`frames` will give; None where that is unknown, as of webcams."""
    if not is_video(source):
        return 1
    if is_webcam(source) or is_url(source):
        return None
    capture = cv2.VideoCapture(source)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return count if count > 0 else None


def frames(source: str, temporary: str | os.PathLike) -> Iterator[Frame]:
    """The image, or the frames of the video.

    Args:
        source: of :func:`find_sources`.
        temporary: folder for what is fetched from the web.

    Raises:
        InputError: it cannot be had or read.
    """
    with contextlib.ExitStack() as stack:
        path = source
        if is_url(source):
            path = fetch(source, Path(temporary))
            stack.callback(os.unlink, path)
        if is_video(source):
            yield from _video(path, source)
        else:
            yield Frame(source, LoadImage()({'img_path': path})['img'], Path(path))


def fetch(url: str, folder: Path) -> str:
    """Fetches ``url`` into ``folder``; the path of the file.

    Raises:
        InputError: it cannot be reached, or broke off.
    """
    target = folder / f'fetched{Path(urllib.parse.urlsplit(url).path).suffix[:20]}'
    try:
        # a new opener each time: the shared one keeps the proxies of its first use
        with urllib.request.build_opener().open(url, timeout=30) as answer, open(target, 'wb') as file:
            shutil.copyfileobj(answer, file)
            if int(answer.headers.get('Content-Length') or file.tell()) != file.tell():
                raise http.client.IncompleteRead(b'')
    except urllib.error.HTTPError as error:
        raise InputError(f'{url}: answers {error.code} {error.reason}') from error
    except (http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, 'reason', None) or error
        raise InputError(f'{url}: cannot be fetched ({type(error).__name__}: {reason})') from error
    return str(target)


def _video(path: str, source: str) -> Iterator[Frame]:
    what = f'webcam {source}' if is_webcam(source) else f'video {source}'
    if not is_webcam(source) and not os.path.isfile(path):
        raise InputError(f'{what}: no such file')
    capture = cv2.VideoCapture(int(source) if is_webcam(source) else path)
    try:
        rate, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        rate = rate if 0 < rate < 1000 else USUAL_RATE
        number, (read, image) = 0, capture.read()
        if not read:
            raise InputError(f'{what}: cannot be {"opened" if is_webcam(source) else "decoded"}')
        while read:
            yield Frame(source, image, None, number, rate)
            number, (read, image) = number + 1, capture.read()
        if number < count:
            print_log(f'{what}: ends after {number} of {count} frames', 'current', logging.WARNING)
    finally:
        capture.release()
