"""Print a config with all that it inherits."""

import mmlight  # isort: skip
import argparse
from pathlib import Path

from mmlight.arguments import Options, Parser
from mmlight.runtime.config import load_config
from mmlight.errors import InputError, exit_on_input_error

SUFFIXES = ('.py', '.json', '.yml', '.yaml')


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config file, or the name of a shipped one')
    parser.add_argument('--save-path', help=f'file to write the whole config to, one of {", ".join(SUFFIXES)}')
    parser.add_argument('--cfg-options', nargs='+', action=Options, help='override config values, key=value')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.save_path and Path(args.save_path).suffix not in SUFFIXES:
        raise InputError(f'--save-path {args.save_path}: the name must end in one of {", ".join(SUFFIXES)}')
    config = load_config(args.config, args.cfg_options, needs_model=False)
    print(f'Config:\n{config.pretty_text}')
    if args.save_path:
        Path(args.save_path).parent.mkdir(parents=True, exist_ok=True)
        config.dump(args.save_path)
        print(f'config saved to {args.save_path}')


if __name__ == '__main__':
    exit_on_input_error(main)
