"""Draw the annotations of a detection or segmentation data set on its images, as training gets them."""

import mmlight  # isort: skip
import argparse
import os
import sys
from pathlib import Path

from mmlight.arguments import Options, Parser
from mmlight.measure.dataset_view import PHASES, browse
from mmlight.runtime.config import load_config
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument('config', help='config file, or the name of a shipped one')
    parser.add_argument(
        '--output-dir', help='folder for the pictures; default without a display: work_dirs/<name>/browse'
    )
    parser.add_argument('--not-show', action='store_true', help='open no windows (never opened without a display)')
    parser.add_argument('--show-interval', type=float, default=2, help='seconds that a window stays open')
    parser.add_argument('--show-number', type=int, help='number of samples; default: all')
    parser.add_argument('--phase', choices=PHASES, default='train', help='whose data set')
    parser.add_argument('--cfg-options', nargs='+', action=Options, help='override config values, key=value')
    return parser.parse_args()


def has_display() -> bool:
    return sys.platform in ('win32', 'darwin') or bool(os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))


def main() -> None:
    args = parse_args()
    config = load_config(args.config, args.cfg_options)
    show = not args.not_show and has_display()
    output_dir = args.output_dir
    if not show and output_dir is None:
        output_dir = Path('work_dirs') / Path(config.filename).stem / 'browse'
    pictures = list(browse(config, args.phase, output_dir, args.show_number, show, args.show_interval))
    print(f'{len(pictures)} samples drawn' + (f' into {output_dir}' if output_dir else ''))


if __name__ == '__main__':
    exit_on_input_error(main)
