"""One table of detectors: published AP, parameters and multiply-adds, and latency measured in one run, in turns.

python -m benchmarks.compare_detectors thundernet_snet49_4xb16-375k_coco-320 --baselines
python -m benchmarks.compare_detectors CONFIG@800x1200 ... --baselines --page docs/light_detectors.md
"""

import mmlight  # isort: skip

import argparse
import json
from pathlib import Path

import torch

from benchmarks.detector_comparison import BASELINES, compare, fill, markdown
from mmlight.measure.latency import machine
from mmlight.arguments import Parser
from mmlight.runtime.device import use_device
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'configs',
        nargs='*',
        metavar='CONFIG[@SIZE]',
        help='path or name of a config, or mmdet::FOLDER/FILE; SIZE is HEIGHTxWIDTH or one number for both',
    )
    parser.add_argument('--baselines', action='store_true', help="mmdet's light detectors too")
    parser.add_argument('--rounds', type=int, default=5, help='calls of a detector in a repeat (default 5)')
    parser.add_argument('--repeats', type=int, default=3, help='default 3')
    parser.add_argument('--threads', type=int, default=1, help='of the CPU (default 1)')
    parser.add_argument('--device', default='cpu', help='cpu (default), cuda or cuda:N')
    parser.add_argument('--page', type=Path, help='Markdown page whose table is replaced')
    parser.add_argument('--json', type=Path, metavar='FILE', help='file to write all figures to')
    args = parser.parse_args()
    if not args.configs and not args.baselines:
        parser.error('no detectors: give configs or --baselines')
    return args


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    with use_device(args.device):
        detectors = [*args.configs, *(BASELINES if args.baselines else ())]
        rows, on = compare(detectors, args.rounds, args.repeats, args.device), machine(args.device)
    text = markdown(rows, on)
    print(text)
    if args.page:
        fill(args.page, text)
    if args.json:
        args.json.write_text(json.dumps({'machine': on, 'detectors': [row.to_dict() for row in rows]}, indent=1))


if __name__ == '__main__':
    exit_on_input_error(main)
