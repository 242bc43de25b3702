"""Where trials are evaluated: in this process, in a pool of processes, on a Ray cluster."""

import os
from collections.abc import Sequence

from mmlight.errors import InputError
from mmlight.nas.backends.base import Backend, Inline, Objective, Outcome
from mmlight.nas.backends.evaluation import Evaluation
from mmlight.nas.backends.processes import Processes

__all__ = ['Backend', 'Evaluation', 'Inline', 'Outcome', 'Processes', 'make_backend']


def make_backend(
    name: str,
    objective: Objective,
    work_dir: str | os.PathLike,
    workers: int | None = None,
    devices: Sequence[int] = (),
    address: str | None = None,
    gpus: float = 0,
) -> Backend:
    """A backend by name.

    Args:
        name: ``'inline'``, ``'local'`` (a pool of processes on this machine) or ``'ray'``.
        objective: See :mod:`mmlight.nas.objectives`.
        work_dir: Folder of the search.
        workers: Trials at once; default 1, of a Ray cluster as many as it has room for.
        devices: GPUs, by index, over which local workers are dealt.
        address: Of a running Ray cluster; None starts one here.
        gpus: What a trial occupies of a Ray cluster, besides a CPU.

    Raises:
        InputError: for an unknown name, and for a Ray cluster that does not answer.
    """
    if name == 'inline':
        return Inline(objective, work_dir)
    if name == 'local':
        return Processes(objective, work_dir, 1 if workers is None else workers, devices)
    if name == 'ray':
        from mmlight.nas.backends.ray import RayTasks

        return RayTasks(objective, work_dir, workers, address, gpus=gpus)
    raise InputError(f'--backend: must be one of inline, local, ray, got {name!r}')
