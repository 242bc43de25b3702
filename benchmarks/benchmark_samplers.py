"""The RNN controller and evolution against random search at equal trials, on problems with a known optimum.

python -m benchmarks.benchmark_samplers --seeds 0 1 2 3 4      (about half an hour on one core)
"""

import mmlight  # isort: skip

import argparse
import sys

from mmlight.arguments import Parser
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('benchmarks', nargs='*', help='default: all five')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2, 3, 4], help='default 0 1 2 3 4')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from benchmarks.sampler_problems import compare, markdown

    found = []
    for line in markdown(found.append(row) or row for row in compare(args.benchmarks, args.seeds)):
        print(line, flush=True)
    sys.exit(not all(row.passed for row in found))


if __name__ == '__main__':
    exit_on_input_error(main)
