"""Long training on the CPU, killed and resumed again and again, against an uninterrupted one.

A small detector trains on the sample data with validation for the given time; every few minutes it is killed (SIGKILL)
and resumed. A second one beside it is left alone until it has as many iterations. The weights must be equal bit for
bit, each validation's metrics too; memory and file descriptors of both runs are noted after each validation::

    python -m benchmarks.soak --minutes 120 --kill-every 10
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'tests'))

from tiny_project import mmlight, project

from mmlight.runtime.checkpoint import load

CONFIG = """
_base_ = 'det_iter.py'
train_cfg = dict(max_iters=10**8, val_interval={interval})
train_dataloader = dict(num_workers=2, persistent_workers=True)
default_hooks = dict(checkpoint=dict(interval={interval}, max_keep_ckpts=-1, save_best='coco/bbox_mAP_50',
                                     rule='greater'),
                     logger=dict(interval=20, log_metric_by_epoch=False))
"""
ON_THEIR_WAY = 8  # files of batches between workers and training: each has a few, and some are there or not
SETTLED = 2  # validations of a process after which caches and allocators have their size


class Usage(NamedTuple):
    """Of a training and its data workers."""

    resident: int  # bytes
    files: int  # open descriptors


def usage(pid: int) -> Usage:
    """Memory and file descriptors of a process and its children."""
    processes = [pid, *map(int, Path(f'/proc/{pid}/task/{pid}/children').read_text().split())]
    pages = sum(int(Path(f'/proc/{one}/statm').read_text().split()[1]) for one in processes)
    return Usage(pages * os.sysconf('SC_PAGE_SIZE'), sum(len(os.listdir(f'/proc/{one}/fd')) for one in processes))


def watch(name: str, process: subprocess.Popen, over: Callable[[], bool]) -> list[Usage]:
    """Usage after each validation; the process is killed after the first with which it is ``over``."""
    found: list[Usage] = []
    for line in process.stdout:
        if 'Iter(val)' in line and 'bbox_mAP:' in line:
            found.append(usage(process.pid))
            memory = found[-1].resident / 2**20
            print(f'{time.strftime("%H:%M:%S")} {name}: {memory:.1f} MiB, {found[-1].files} files', flush=True)
        if 'rror:' in line:
            print(line, end='', flush=True)
        if found and over():
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.wait()
    return found


def metrics(work_dir: Path) -> dict[int, float]:
    """AP50 of each validation, by iteration."""
    lines = [line for file in work_dir.glob('*/vis_data/scalars.json') for line in file.read_text().splitlines()]
    rows = [row for row in map(json.loads, lines) if 'coco/bbox_mAP_50' in row]
    return {row['step']: row['coco/bbox_mAP_50'] for row in rows}


def report_growth(name: str, found: list[Usage]) -> bool:
    """Whether a process's usage stayed flat from where it has settled; printed."""
    settled = found[SETTLED:]
    if len(settled) < 2:
        return True
    growth = settled[-1].resident / settled[0].resident - 1
    files = [one.files for one in settled]
    print(f'{name}: {len(found)} validations, memory {growth:+.2%}, {min(files)} to {max(files)} files')
    return growth < 0.02 and files[-1] <= max(files[: -(-len(files) // 2)]) + ON_THEIR_WAY


def train(name: str, config: Path, work_dir: Path, over: Callable[[], bool]) -> list[Usage]:
    """Train, or go on, until it is ``over``."""
    process = mmlight('train', config, '--work-dir', work_dir, *(['--resume'] if work_dir.exists() else []))
    found = watch(name, process, over)
    if process.returncode != -signal.SIGKILL:
        raise SystemExit(f'the training ended by itself: {process.returncode}')
    return found


def soak(config: Path, folder: Path, minutes: float, kill_every: float) -> bool:
    """Both runs; whether all is equal and flat."""
    killed, whole = folder / 'killed', folder / 'whole'
    last: list[int] = []  # validated iteration of the killed run, at its end

    def enough() -> bool:
        return bool(last) and max(metrics(whole), default=0) >= last[0]

    with ThreadPoolExecutor() as pool:
        beside = pool.submit(train, 'uninterrupted', config, whole, enough)
        end, flat, kills = time.monotonic() + 60 * minutes, [], 0
        while time.monotonic() < end:
            until = min(end, time.monotonic() + 60 * kill_every)
            found = train('killed', config, killed, lambda until=until: time.monotonic() > until)
            kills += 1
            flat.append(report_growth(f'before kill {kills}', found))
        last.append(max(metrics(killed)))
        print(f'{kills} kills, {last[0]} iterations', flush=True)
        flat.append(report_growth('uninterrupted', beside.result()))
    weights = [load(run / f'iter_{last[0]}.pth')['state_dict'] for run in (killed, whole)]
    different = [key for key, value in weights[0].items() if not torch.equal(value, weights[1][key])]
    aps = metrics(killed), metrics(whole)
    unlike = [step for step, value in aps[0].items() if aps[1].get(step) != value]
    print(f'{len(different)} of {len(weights[0])} weights differ, {len(unlike)} of {len(aps[0])} validations')
    print(f'AP50 at the end {aps[0][last[0]]}; memory and files flat: {all(flat)}', flush=True)
    return not different and not unlike and all(flat)


def main() -> int:
    """Exit code 0 if all is equal and flat."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=120)
    parser.add_argument('--kill-every', type=float, default=10, help='minutes')
    parser.add_argument('--interval', type=int, default=100, help='iterations between checkpoints and validations')
    args = parser.parse_args()
    config = project() / 'soak.py'
    config.write_text(CONFIG.format(interval=args.interval))
    with tempfile.TemporaryDirectory(prefix='mmlight-soak-') as folder:
        return 0 if soak(config, Path(folder), args.minutes, args.kill_every) else 1


if __name__ == '__main__':
    sys.exit(main())
