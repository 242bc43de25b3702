"""Strip a checkpoint for publishing and name it by its SHA-256."""

import mmlight  # isort: skip
import argparse

from mmlight.arguments import Parser
from mmlight.runtime.publish import KEPT, publish
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument('in_file', help='checkpoint that a training wrote')
    parser.add_argument('out_file', help='X.pth: X-<8 hex digits>.pth is written')
    parser.add_argument('--save-keys', nargs='+', default=list(KEPT), help='keys of the checkpoint to keep')
    parser.add_argument('--no-ema', action='store_true', help='publish the raw weights, not their moving average')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    path, dropped = publish(args.in_file, args.out_file, args.save_keys, averaged=not args.no_ema)
    if dropped:
        print(f'left out: {", ".join(dropped)}')
    print(f'The published model is saved at {path}')


if __name__ == '__main__':
    exit_on_input_error(main)
