"""Write the built-in sample data set: drawn streets as COCO detection and in Cityscapes' layout."""

import mmlight  # isort: skip

import argparse
import sys

from mmlight.arguments import Parser
from mmlight.data.sample import generate
from mmlight.errors import InputError


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument('--out', required=True, help='folder to create')
    parser.add_argument('--num-train', type=int, default=240, help='pictures to train on (default: 240)')
    parser.add_argument('--num-val', type=int, default=60, help='pictures to evaluate on (default: 60)')
    parser.add_argument('--size', type=int, nargs=2, default=(384, 288), metavar=('W', 'H'), help='default: 384 288')
    parser.add_argument('--seed', type=int, default=0, help='default: 0')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    try:
        out = generate(args.out, num_train=args.num_train, num_val=args.num_val, size=tuple(args.size), seed=args.seed)
    except InputError as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    print(f'sample data set: {out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
