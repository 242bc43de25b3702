"""Files that appear whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from io import BufferedWriter
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from mmlight.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def put(content: bytes | memoryview | str, path: str | os.PathLike, sync: bool = False) -> Path:
    """Write ``content`` (a text as UTF-8) beside ``path``, then move it there: until then what stood there stays.

    Args:
        content: of the file.
        path: its folder is made.
        sync: wait until the disk has it: after a power cut there is the old file or the new one, nothing between.

    Returns:
        ``path``.

    Raises:
        OSError: it cannot be written; names ``path``.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _swept(path.parent.absolute())
        part, file = _opened(path)
        try:
            with file:
                file.write(content.encode() if isinstance(content, str) else content)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    return path


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` for what moves there once whole; gone afterwards, or swept if this process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _swept(path.parent.absolute())
    with TemporaryDirectory(dir=path.parent, prefix=f'.{path.name[:60]}.', suffix='.part') as name:
        locked = _locked_folder(name)
        try:
            yield Path(name)
        finally:
            if locked is not None:
                os.close(locked)


def check_writable(path: str | os.PathLike, option: str) -> None:
    """Raise an ``InputError`` where :func:`put` could not write, before minutes of work are lost."""
    folder = path = Path(path)
    while not folder.exists():
        folder = folder.parent
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f'{option} {path}: {"is a folder" if path.is_dir() else f"{folder} cannot be written"}')


def _opened(path: Path) -> tuple[Path, BufferedWriter]:
    """A new file beside ``path``, locked as long as it is open."""
    while True:
        part = path.with_name(f'.{os.fsencode(path.name)[:200].decode(errors="ignore")}.{uuid4().hex[:12]}.part')
        file = open(part, 'xb')  # noqa: SIM115 (closed by the caller)
        with suppress(OSError):  # a file system without locks: nobody sweeps there
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_nlink:
            return part, file
        file.close()  # swept before it was locked


def _locked_folder(folder: str | Path) -> int | None:
    """A descriptor that holds ``folder``; None where the system has no locks."""
    if fcntl is None:
        return None
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def sweep(folder: Path) -> None:
    """Remove what killed writers left half-written in ``folder``; what is being written is locked, and stays."""
    for part in folder.glob('.*.*.part'):
        with suppress(OSError):
            if fcntl is not None and part.is_dir():
                held = _locked_folder(part)
                shutil.rmtree(part)
                if held is not None:
                    os.close(held)
            elif fcntl is not None and part.is_file():
                with open(part, 'r+b') as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    part.unlink()


_swept = cache(sweep)  # once a process: a cache may hold a hundred thousand files
