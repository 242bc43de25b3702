"""Write the config of a network that a search found, for tools/train.py."""

import mmlight  # isort: skip

import argparse
from pathlib import Path

from mmlight.arguments import Parser
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument('work_dir', help='of the search')
    parser.add_argument('--rank', type=int, default=0, help='0 is the best network, 1 the next, ... (default 0)')
    parser.add_argument('--config', help="config that takes the network; default: the search's proxy")
    parser.add_argument('--stack', type=int, help="how often a pyramid, SpineNet's blocks or normal cells are repeated")
    parser.add_argument(
        '--width', type=int, help="channels of a pyramid or SpineNet's outputs and the head, or of cells"
    )
    parser.add_argument('--out', help='default WORK_DIR/best_RANK.py')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    from mmlight.nas.export import export

    out = Path(args.out or Path(args.work_dir) / f'best_{args.rank}.py')
    trial = export(args.work_dir, out, args.rank, args.config, args.stack, args.width)
    print(f'{out}: trial {trial.number}, reward {trial.reward:.4f}; python tools/train.py {out}')


if __name__ == '__main__':
    exit_on_input_error(main)
