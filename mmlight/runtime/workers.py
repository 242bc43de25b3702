"""Data workers that hang, die or find no shared memory: one line instead of waiting for ever."""

import errno
import functools
import multiprocessing
import os
import re
import shutil
import sys
import threading
from multiprocessing import queues
from types import TracebackType
from typing import Any

from mmengine.config import Config

from mmlight.data.coco_folder import LOADERS
from mmlight.errors import InputError

TIMEOUT = 900
"""Seconds without a batch after which a worker counts as hung, unless a data loader's ``timeout`` says otherwise."""


def watch_workers(cfg: Config) -> None:
    """Give the data loaders of ``cfg`` a time limit; workers end where they would lose a batch without a word."""
    for name in LOADERS:
        loader = cfg.get(name)
        if isinstance(loader, dict) and loader.get('num_workers'):
            loader.setdefault('timeout', TIMEOUT)
    _end_at_lost_batches()
    _no_trace_of_cut_connections()


@functools.cache
def _end_at_lost_batches() -> None:
    """A full /dev/shm is noticed by a worker's sending thread only, which drops the batch and goes on."""
    queue: Any = queues.Queue  # what it calls for errors is no part of its types
    before = queue._on_queue_feeder_error

    def lost(error: Exception, sent: object) -> None:
        if multiprocessing.parent_process() is not None and 'No space left' in str(error):
            os._exit(errno.ENOSPC)
        before(error, sent)

    queue._on_queue_feeder_error = staticmethod(lost)


@functools.cache
def _no_trace_of_cut_connections() -> None:
    """A main process that a signal ended while a batch was handed over is no error of the worker's that sent it."""
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        cut = isinstance(error, (EOFError, ConnectionError)) and multiprocessing.parent_process() is not None
        if not (cut and threading.current_thread() is not threading.main_thread()):
            before(kind, error, trace)

    sys.excepthook = hook


def explain_workers(error: Exception) -> InputError | None:
    """What an error of PyTorch's ``DataLoader`` means, in one line; None for any other."""
    text = f'{error} {error.__cause__}'  # the latter says how a worker ended
    if 'DataLoader' not in text:
        return None
    if f'exit code {errno.ENOSPC}' in text or 'Bus error' in text:
        size = shutil.disk_usage('/dev/shm').total / 1e6  # nosec B108
        return InputError(
            f'a data worker found shared memory full (/dev/shm holds {size:.0f} MB): lower num_workers of the data '
            'loader (0 needs none) or its batch_size, or give a container more (docker run --shm-size=8g)'
        )
    if seconds := re.search(r'timed out after (\d+)', text):
        return InputError(
            f'a data worker gave no batch for {seconds[1]} s: its storage hangs, or the limit is too low (`timeout` of '
            'the data loader)'
        )
    if 'killed by signal' in text:
        return InputError(f'{" ".join(text.split())[:150]}: memory may be short; lower num_workers of the data loader')
    return None
