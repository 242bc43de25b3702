"""Where trials are evaluated: in this process, in a pool of processes, on a Ray cluster."""

from mmlight.nas.backends.base import Backend, Inline, Outcome, evaluate
from mmlight.nas.backends.processes import Processes

__all__ = ['Backend', 'Inline', 'Outcome', 'Processes', 'evaluate', 'make_backend']


def make_backend(name: str, objective, work_dir, workers: int = 1, devices=(), address: str | None = None) -> Backend:
    """A backend by name.

    Args:
        name: ``'inline'``, ``'local'`` (a pool of processes on this machine) or ``'ray'``.
        objective: See :mod:`mmlight.nas.objectives`.
        work_dir: Folder of the search.
        workers: Trials at once; of a Ray cluster 0 means as many as it has room for.
        devices: GPUs, by index, over which local workers are dealt.
        address: Of a running Ray cluster; None starts one here.

    Raises:
        InputError: for an unknown name, and for a Ray cluster that does not answer.
    """
    from mmlight.errors import InputError

    if name == 'inline':
        return Inline(objective, work_dir)
    if name == 'local':
        return Processes(objective, work_dir, workers, devices)
    if name == 'ray':
        from mmlight.nas.backends.ray import RayTasks

        return RayTasks(objective, work_dir, workers, address)
    raise InputError(f'--backend: must be one of inline, local, ray, got {name!r}')
