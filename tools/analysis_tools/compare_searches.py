"""Retrain what searches found, beside published graphs, at equal budget over several seeds; a second call goes on.

python tools/analysis_tools/compare_searches.py work_dirs/A work_dirs/B --graphs nas_fpn fpn --epochs 20 --workers 2
"""

import mmlight  # isort: skip

import argparse

from mmlight.arguments import Parser
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('searches', nargs='+', metavar='WORK_DIR', help='of a search; the first one gives the proxy')
    parser.add_argument('--graphs', nargs='*', default=[], help='published graphs: nas_fpn, fpn, pafpn')
    parser.add_argument('--epochs', type=int, help="of every training; default: the proxy's")
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2], help='default 0 1 2')
    parser.add_argument('--workers', type=int, default=1, help='trainings at once (default 1)')
    parser.add_argument('--shape', type=int, nargs=2, default=[256, 256], metavar=('H', 'W'), help='image to count for')
    parser.add_argument('--equal-macs', action='store_true', help='graphs as large as the first best, not as wide')
    parser.add_argument('--out', default='work_dirs/compare_searches', help='default work_dirs/compare_searches')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmlight.nas.retrain import compare, markdown

    rows = compare(
        args.searches,
        args.out,
        args.graphs,
        args.epochs,
        args.seeds,
        args.workers,
        tuple(args.shape),
        args.equal_macs,
        watch=lambda line: print(line, flush=True),
    )
    print(markdown(rows, args.seeds))


if __name__ == '__main__':
    exit_on_input_error(main)
