"""SIGTERM, which clusters send, ends a command as Ctrl-C does; nothing that it started outlives it."""

import contextlib
import ctypes
import functools
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived; what cleans up after Ctrl-C cleans up after it, too."""


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


_inside: list[bool] = []


_masks = threading.local()


@functools.cache
def _forked_children_heed_us_alone() -> None:
    """Pools and PyTorch end their workers by SIGTERM, and wait for ever for one that raises instead.

    From elsewhere it leaves a child alone (where the system says who sent it): clusters send it to all processes of a
    job at once, and the main one needs its data workers for the iteration that it finishes. It is held back while a
    process forks: a child that gets it before its handler is reset would lose it.
    """

    if not hasattr(os, 'register_at_fork'):  # Windows forks nothing
        return

    def before() -> None:
        _masks.old = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, _masks.old)

    def reset() -> None:
        if _inside:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            if hasattr(signal, 'sigwaitinfo'):  # it stays held back
                threading.Thread(target=_end_by, args=(os.getppid(),), daemon=True).start()
                return
        after()

    os.register_at_fork(before=before, after_in_parent=after, after_in_child=reset)


def _end_by(sender: int) -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != sender:
        pass
    os._exit(0)  # as PyTorch's workers do


@contextlib.contextmanager
def term_raises() -> Iterator[None]:
    """SIGTERM raises :class:`Terminated` inside, but not in forked children; elsewhere than in the main thread nothing
    changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _forked_children_heed_us_alone()
    before = signal.signal(signal.SIGTERM, _terminate)
    _inside.append(True)
    try:
        yield
    finally:
        _inside.pop()
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def ended(error: KeyboardInterrupt, go_on: str = '') -> int:
    """Say in one line on standard error how a command was ended and, by the error, what is kept; the exit code."""
    terminated = isinstance(error, Terminated)
    kept = f'; {error}' if str(error) else ''
    print(f'{"terminated" if terminated else "interrupted"}{kept}{go_on}', file=sys.stderr)
    return 143 if terminated else 130


@functools.cache
def children_die_with_us() -> None:
    """From now on the kernel kills forked children, such as data workers, when this process ends (Linux).

    PyTorch's workers look for their parent every five seconds only, and not at all while they load a sample.
    """
    if sys.platform != 'linux':
        return
    prctl = ctypes.CDLL(None).prctl
    os.register_at_fork(after_in_child=lambda: prctl(1, signal.SIGKILL))  # PR_SET_PDEATHSIG


def watched(work: bytes, *arguments: Any) -> None:
    """In a spawned process: call the pickled ``work`` with ``arguments``; both end as soon as the parent does.

    ``work``, which comes from the parent, is pickled because its imports take seconds, in which the watch must be up
    already.
    """
    os.setpgrp()  # with all that the work starts
    parent: Any = multiprocessing.parent_process()
    threading.Thread(target=_die_with, args=(parent.sentinel,), daemon=True).start()
    call = pickle.loads(work)  # nosec B301
    call(*arguments)


def _die_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os.killpg(0, signal.SIGKILL)
