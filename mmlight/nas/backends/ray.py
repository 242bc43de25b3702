"""Trials as tasks on a Ray cluster (optional: ``pip install mmlight[distributed]``)."""

import os
import socket
from collections import deque
from typing import Any

from mmlight.errors import InputError
from mmlight.nas.backends.base import Backend, Objective, Outcome, attempt, check_workers
from mmlight.nas.samplers.base import Choices
from mmlight.runtime.config import one_line


class RayTasks(Backend):
    """One task a trial. Ray moves a task whose node died to another; what still fails is left to the driver's retries.

    Every node must see the search's folder under the same path, as on a shared file system, and have mmlight installed.

    Args:
        objective: It travels to the nodes by pickling.
        work_dir: Folder of the search.
        workers: Trials at once; None for as many as the cluster has CPUs (or GPUs, if ``gpus`` is above 0), those of
            nodes that join later among them.
        address: ``'auto'`` or ``host:port`` of a running cluster; None starts one on this machine.
        cpus, gpus: What a trial occupies.

    Raises:
        InputError: where Ray is not installed or no cluster answers at the address, and for less than one worker.
    """

    def __init__(
        self,
        objective: Objective,
        work_dir: str | os.PathLike,
        workers: int | None = None,
        address: str | None = None,
        cpus: float = 1,
        gpus: float = 0,
    ):
        check_workers(workers)
        try:
            import ray
        except ImportError:
            raise InputError('--backend ray: Ray is not installed; pip install mmlight[distributed]') from None
        self.ray = ray
        self.started = not ray.is_initialized()
        if self.started:
            _join(ray, address)
        self.workers, self.cpus, self.gpus = workers, cpus, gpus
        self.work_dir = str(work_dir)
        self.objective = ray.put(objective)
        self.task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=2)(_task)
        self.queue: deque[tuple[int, Choices]] = deque()
        self.running: dict = {}

    @property
    def capacity(self) -> int:  # type: ignore[override]
        """Trials that run at once, as nodes come and go."""
        if self.workers:
            return self.workers
        resources: dict[str, float] = self.ray.cluster_resources()  # type: ignore[no-untyped-call]
        room = resources.get('GPU', 0) / self.gpus if self.gpus else resources.get('CPU', 1) / self.cpus
        return max(int(room), 1)

    def submit(self, number: int, choices: Choices) -> None:
        self.queue.append((number, choices))
        self._deal()

    def _deal(self) -> None:
        while self.queue and (self.workers is None or len(self.running) < self.workers):
            number, choices = self.queue.popleft()
            self.running[self.task.remote(self.objective, number, choices, self.work_dir)] = number

    def poll(self, timeout: float) -> list[Outcome]:
        if not self.running:
            return []
        ready, _ = self.ray.wait(list(self.running), num_returns=1, timeout=timeout)
        outcomes = []
        for reference in ready:
            number = self.running.pop(reference)
            try:
                (_, metrics, error, retry), worker = self.ray.get(reference)
            except self.ray.exceptions.RayError as failure:
                if isinstance(cause := getattr(failure, 'cause', None), InputError):
                    raise cause from None
                outcomes.append(Outcome(number, None, str(failure).strip().splitlines()[-1], 'ray', retry=True))
                continue
            outcomes.append(Outcome(number, metrics, error, worker, retry))
        self._deal()
        return outcomes

    def stop(self, number: int) -> bool:
        found = [reference for reference, running in self.running.items() if running == number]
        for reference in found:
            self.ray.cancel(reference, force=True)
        return bool(found)

    def close(self) -> None:
        for reference in self.running:
            self.ray.cancel(reference, force=True)
        if self.started:
            self.ray.shutdown()


def _join(ray: Any, address: str | None) -> None:
    try:
        if address is None:
            # its head would listen on all interfaces
            loopback = '127.0.0.1'
            ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False, _node_ip_address=loopback)
            return
        host, _, port = address.rpartition(':')
        if address != 'auto':  # Ray itself tries a silent port for a minute, and may end the process
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f'--address {address}: no Ray cluster answers ({one_line(error)})') from None


def _task(objective: Objective, number: int, choices: Choices, work_dir: str) -> tuple[tuple, str]:
    return attempt(objective, number, choices, work_dir), f'ray {socket.gethostname()}'
