"""Devices and launchers: what mmengine may use, and how its processes were started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import utils as device_utils

from mmlight.errors import InputError

LAUNCHER_NEEDS = {
    'none': (),
    'pytorch': ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    'mpi': ('OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_RANK', 'MASTER_ADDR'),
}
LAUNCHER_STARTS = {
    'pytorch': '`bash tools/dist_train.sh CONFIG GPUS` or `python -m torch.distributed.run --nproc_per_node=N`',
    'slurm': '`srun` (see tools/slurm_train.sh)',
    'mpi': '`mpirun` with MASTER_ADDR exported',
}


@contextmanager
def use_device(device: str | None, launcher: str = 'none') -> Iterator[None]:
    """Let mmengine use ``device`` (``cpu``, ``cuda``, ``cuda:N``; None: its own choice) inside the ``with`` block."""
    previous = device_utils.DEVICE
    if device is not None:
        kind, _, index = device.partition(':')
        if kind not in ('cpu', 'cuda') or (index and (kind == 'cpu' or not index.isdigit())):
            raise InputError(f"--device '{device}': allowed are cpu, cuda and cuda:N")
        if kind == 'cuda':
            if not torch.cuda.is_available():
                raise InputError(f'--device {device}: PyTorch {torch.__version__} sees no GPU here')
            if index and launcher != 'none':
                raise InputError(f'--device {device}: with --launcher each process takes the GPU of its local rank')
            if index and int(index) >= torch.cuda.device_count():
                raise InputError(f'--device {device}: there are {torch.cuda.device_count()} GPUs, counted from 0')
            if index:
                torch.cuda.set_device(int(index))
        device_utils.DEVICE = kind
    try:
        yield
    finally:
        device_utils.DEVICE = previous


def check_launcher(launcher: str) -> None:
    """Refuse a launcher whose environment variables are not set."""
    if launcher not in LAUNCHER_NEEDS:
        raise InputError(f"--launcher '{launcher}': allowed are {', '.join(LAUNCHER_NEEDS)}")
    missing = [name for name in LAUNCHER_NEEDS[launcher] if name not in os.environ]
    if missing:
        raise InputError(
            f'--launcher {launcher}: environment lacks {", ".join(missing)}; start with {LAUNCHER_STARTS[launcher]}'
        )
