"""One training a work dir: locked while it runs, refused where an earlier one left its checkpoints."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import is_main_process

from mmlight.errors import InputError
from mmlight.files import sweep

LOCK = '.training.lock'


@contextmanager
def locked(work_dir: str | os.PathLike) -> Iterator[None]:
    """Hold ``work_dir`` against a second training; the system lets go of it however this process ends.

    Raises:
        InputError: another process trains there.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        fcntl = None  # type: ignore[assignment]
    if fcntl is None or not is_main_process() or int(os.environ.get('RANK', 0)):
        yield
        return
    try:
        Path(work_dir).mkdir(parents=True, exist_ok=True)
        file = open(Path(work_dir, LOCK), 'a')  # noqa: SIM115 (held as long as the training runs)
    except OSError as error:
        raise InputError(f'--work-dir {work_dir}: cannot be written ({error.strerror})') from error
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock's, not inherited by data workers
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise InputError(f'--work-dir {work_dir}: another process writes there; choose another') from None
            # a file system without locks: as before
        else:
            sweep(Path(work_dir))
        yield


def check_unused(work_dir: str | os.PathLike) -> None:
    """Refuse a new training in the folder of an earlier one, whose checkpoints it would replace."""
    found = [path for pattern in ('epoch_*.pth', 'iter_*.pth') for path in sorted(Path(work_dir).glob(pattern))]
    if found:
        raise InputError(
            f'--work-dir {work_dir}: holds {found[-1].name} of an earlier training, which a new one would replace; '
            'go on with --resume, or choose another folder'
        )
