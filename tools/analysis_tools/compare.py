"""A report that compares networks: sortable table, accuracy against cost, training curves, predictions side by side.

Writes report.md, figures.json and index.html, a page that needs nothing beside it. Accuracy is that of the config's
metafile, or of the training in a work dir; latency is measured here, all networks in turns.

python tools/analysis_tools/compare.py thundernet_snet49_4xb16-375k_coco-320 mmdet::ssd/ssd300_coco.py@300 --out report
python tools/analysis_tools/compare.py --work-dirs work_dirs/a work_dirs/b --images photos/ --out report
"""

import mmlight  # isort: skip

import argparse
from pathlib import Path

from mmlight.measure.benchmark import Plan
from mmlight.measure.report import make_report
from mmlight.arguments import Parser
from mmlight.runtime.device import use_device
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'configs',
        nargs='*',
        metavar='CONFIG[@SIZE]',
        help='path or name of a config, mmdet::FOLDER/FILE or mmseg::FOLDER/FILE; SIZE is HEIGHTxWIDTH or one number',
    )
    parser.add_argument('--work-dirs', nargs='+', default=[], metavar='DIR', help='of trainings: curves, predictions')
    parser.add_argument('--images', nargs='+', default=[], metavar='IMAGE', help='files or folders to predict on')
    parser.add_argument('--out', type=Path, default=Path('report'), metavar='DIR', help='default report')
    parser.add_argument(
        '--columns', nargs='+', default=['fused'], metavar='NAME', help='as benchmark.py (default fused)'
    )
    parser.add_argument('--threads', type=int, default=1, help='of the CPU (default 1)')
    parser.add_argument('--device', default='cpu', help='cpu (default), cuda or cuda:N')
    parser.add_argument('--seconds', type=float, default=2, help='of a function in a repeat (default 2)')
    args = parser.parse_args()
    if not args.configs and not args.work_dirs:
        parser.error('nothing to compare: give configs or --work-dirs')
    return args


def main() -> None:
    args = parse_args()
    plan = Plan(
        columns=args.columns,
        threads=[args.threads],
        device=args.device,
        seconds=args.seconds,
        warmup_seconds=args.seconds / 4,
    )
    with use_device(args.device):
        entries = make_report(args.configs, args.out, args.work_dirs, args.images, plan)
    print(f'{len(entries)} networks in {args.out / "index.html"} and {args.out / "report.md"}')


if __name__ == '__main__':
    exit_on_input_error(main)
