"""One table of segmentors: published mIoU, parameters and multiply-adds, and CPU latency measured in one run, in turns.

python -m benchmarks.compare_segmentors --page docs/realtime_segmentation.md
python -m benchmarks.compare_segmentors CONFIG mmseg::fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py
"""

import mmlight  # isort: skip

import argparse
import json
from pathlib import Path

from benchmarks.detector_comparison import fill
from mmlight.measure.latency import machine
from benchmarks.segmentor_comparison import BASELINES, OURS, compare, markdown
from mmlight.arguments import Parser
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'configs',
        nargs='*',
        metavar='CONFIG',
        help="path or name of a config, or mmseg::FOLDER/FILE; default: this package's and mmseg's real-time networks",
    )
    parser.add_argument('--shape', type=int, nargs=2, default=(512, 1024), metavar='N', help='HEIGHT WIDTH')
    parser.add_argument('--rounds', type=int, default=5, help='calls of a network in a repeat (default 5)')
    parser.add_argument('--repeats', type=int, default=3, help='default 3')
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2], help='of the CPU (default 1 2)')
    parser.add_argument('--page', type=Path, help='Markdown page whose table is replaced')
    parser.add_argument('--json', type=Path, metavar='FILE', help='file to write all figures to')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    configs = args.configs or (*OURS, *BASELINES)
    rows, labels = compare(configs, tuple(args.shape), args.threads, args.rounds, args.repeats)
    on = machine()
    text = markdown(rows, labels, on)
    print(text)
    if args.page:
        fill(args.page, text)
    if args.json:
        args.json.write_text(json.dumps({'machine': on, 'segmentors': [row.to_dict() for row in rows]}, indent=1))


if __name__ == '__main__':
    exit_on_input_error(main)
