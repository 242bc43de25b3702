"""Search an architecture: `python tools/search.py configs/nas/nas-fpn_shufflenet-v2_sample.py --workers 2`."""

import mmlight  # isort: skip

import argparse
import sys
from pathlib import Path

from mmlight.arguments import Parser
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config of the search')
    parser.add_argument('--work-dir', help='default work_dirs/<config name>')
    parser.add_argument('--resume', action='store_true', help='go on with the search in the work dir')
    parser.add_argument('--backend', default='local', choices=['inline', 'local', 'ray'])
    parser.add_argument('--workers', type=int, help='trials at once (default 1; on a Ray cluster all it has room for)')
    parser.add_argument('--devices', type=int, nargs='*', default=[], help='GPUs that local workers share out')
    parser.add_argument('--gpus', type=float, default=0, help='that a trial occupies on a Ray cluster (default 0)')
    parser.add_argument('--address', help='of a running Ray cluster; default: one on this machine')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmlight.nas.search import Display, run

    work_dir = Path(args.work_dir or Path('work_dirs') / Path(args.config).stem)
    with Display() as display:
        trials = run(
            args.config,
            work_dir,
            args.resume,
            args.backend,
            args.workers,
            tuple(args.devices),
            args.address,
            args.gpus,
            display.watch,
            display.on_trial,
        )
    done = [trial for trial in trials if trial.source is not None]
    best = max(done, key=lambda trial: trial.reward, default=None)
    if best is None:
        print('no trial was evaluated', file=sys.stderr)
        sys.exit(1)
    print(f'best: trial {best.source}, reward {best.reward:.4f}; export it: python tools/export_arch.py {work_dir}')


if __name__ == '__main__':
    exit_on_input_error(main)
