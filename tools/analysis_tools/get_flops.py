"""Parameters and multiply-adds of a detector or segmentor, by part. No data set is needed."""

import mmlight  # isort: skip
import argparse
import json

from mmlight.arguments import Options, Parser
from mmlight.measure.complexity import measure
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config file, or the name of a shipped one')
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        metavar='N',
        help='HEIGHT WIDTH, or one number for both; default: that of the test pipeline',
    )
    parser.add_argument('--depth', type=int, default=1, help='levels of the module tree to tell apart')
    parser.add_argument('--json', action='store_true', help='print JSON')
    parser.add_argument('--cfg-options', nargs='+', action=Options, help='override config values, key=value')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    complexity = measure(args.config, args.shape, args.depth, args.cfg_options)
    print(json.dumps(complexity.to_dict()) if args.json else complexity.table())


if __name__ == '__main__':
    exit_on_input_error(main)
