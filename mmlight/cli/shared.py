"""Arguments that several commands have."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from mmlight.arguments import Options

if TYPE_CHECKING:
    from mmlight.runtime.run import RunOptions


def add_config(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('config', metavar='CONFIG', help='path of a config, or the name of a shipped one')
    sub.add_argument(
        '--cfg-options', nargs='+', action=Options, metavar='KEY=VALUE', help="override the config's settings"
    )


def add_device(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('--device', help='cpu, cuda or cuda:N (default: a GPU if there is one)')


def add_run_options(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('--work-dir', help='folder for logs and checkpoints (default work_dirs/<config>)')
    sub.add_argument(
        '--data',
        metavar='DIR',
        help="folder with your data instead of the config's: COCO, Pascal VOC, YOLO; images and masks",
    )
    sub.add_argument('--launcher', default='none', help='none, pytorch, slurm or mpi')
    sub.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
    add_device(sub)


def run_options(args: argparse.Namespace) -> RunOptions:
    from mmlight.runtime.run import RunOptions

    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))  # some launchers pass it as an argument
    saves = getattr(args, 'save_on_term', None)
    patience = getattr(args, 'early_stop', None)
    return RunOptions(args.work_dir, args.cfg_options, args.launcher, args.data, args.device, saves, patience)
