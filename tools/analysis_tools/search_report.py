"""Report of a search: curves, the best networks with their multiply-adds and latency, pictures of their graphs."""

import mmlight  # isort: skip

import argparse

from mmlight.arguments import Parser
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument('work_dir', help='of the search')
    parser.add_argument('--out', help='folder, default WORK_DIR/report')
    parser.add_argument('--top', type=int, default=10, help='rows of the table (default 10)')
    parser.add_argument('--shape', type=int, nargs=2, metavar=('H', 'W'), help='count parameters and multiply-adds')
    parser.add_argument('--latency', action='store_true', help='measure the networks of the table on this machine too')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmlight.nas.report import write

    print(write(args.work_dir, args.out, args.top, args.shape and tuple(args.shape), args.latency))


if __name__ == '__main__':
    exit_on_input_error(main)
