"""A pool of processes on this machine."""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
from collections import deque
from collections.abc import Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from mmlight.errors import InputError
from mmlight.nas.backends.base import Backend, Objective, Outcome, attempt, check_workers
from mmlight.nas.samplers.base import Choices
from mmlight.signals import watched

SPAWN = multiprocessing.get_context('spawn')


def _work(objective: Objective, work_dir: str, device: str | None, connection: Connection) -> None:
    """A worker's life: trials from the pipe, outcomes into it, until the pipe closes."""
    if device is not None:
        os.environ['CUDA_VISIBLE_DEVICES'] = device
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection.send(None)  # the imports are done
    while True:
        try:
            number, choices = connection.recv()
        except EOFError:
            return
        try:
            connection.send(attempt(objective, number, choices, work_dir))
        except InputError as error:
            connection.send(error)


class _Worker:
    def __init__(self, name: str, *arguments: Any):
        self.name = name
        self.connection, other = SPAWN.Pipe()
        work = pickle.dumps(partial(_work, *arguments))
        self.process: Any = SPAWN.Process(target=watched, args=(work, other), daemon=False)
        self.process.start()
        other.close()
        self.number: int | None = None
        self.ready = False  # once its imports are done

    def kill(self) -> None:
        # the group also where the worker is dead: the training that it started lives on, in the folder of the next try
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()  # it may not have had a group yet
        self.process.join()
        self.connection.close()


class Processes(Backend):
    """Worker processes, each with one trial at a time; one that dies is replaced, its trial may be tried again.

    Args:
        objective: It travels to the workers by pickling.
        work_dir: Folder of the search.
        workers: How many.
        devices: GPUs by index, dealt to the workers in turn; none leaves the choice to the objective.
    """

    def __init__(self, objective: Objective, work_dir: str | os.PathLike, workers: int, devices: Sequence[int] = ()):
        check_workers(workers)
        self.capacity = workers
        self.objective, self.work_dir, self.devices = objective, str(work_dir), tuple(devices)
        self.queue: deque[tuple[int, Choices]] = deque()
        self.workers = [self._start(slot) for slot in range(workers)]

    def _start(self, slot: int) -> _Worker:
        device = str(self.devices[slot % len(self.devices)]) if self.devices else None
        return _Worker(f'local {slot}', self.objective, self.work_dir, device)

    def submit(self, number: int, choices: Choices) -> None:
        self.queue.append((number, choices))
        self._deal()

    def _deal(self) -> None:
        for worker in self.workers:
            if worker.number is None and self.queue:
                worker.number, choices = self.queue.popleft()
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # dead: the next poll finds out
                    worker.connection.send((worker.number, choices))

    def poll(self, timeout: float) -> list[Outcome]:
        waiting: dict[Any, int] = {w.connection: i for i, w in enumerate(self.workers)}
        waiting |= {w.process.sentinel: i for i, w in enumerate(self.workers)}
        ready = multiprocessing.connection.wait(list(waiting), timeout)
        outcomes = []
        for slot in sorted({waiting[item] for item in ready}):
            worker = self.workers[slot]
            try:
                found = worker.connection.recv() if worker.connection.poll() else _died()
                if isinstance(found, InputError):
                    raise found
                if found is None:
                    worker.ready = True
                    continue
                number, metrics, error, retry = found
                outcomes.append(Outcome(number, metrics, error, worker.name, retry))
                worker.number = None
            except (EOFError, OSError):
                if worker.number is not None:
                    outcomes.append(Outcome(worker.number, None, 'the worker died', worker.name, retry=True))
                worker.kill()
                self.workers[slot] = self._start(slot)
        self._deal()
        return outcomes

    def stop(self, number: int) -> bool:
        for worker in self.workers:
            if worker.number == number and worker.ready:  # the next poll finds it dead
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(worker.process.pid, signal.SIGKILL)
                return True
        return False

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()


def _died() -> NoReturn:
    raise EOFError
