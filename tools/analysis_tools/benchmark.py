"""Latency, throughput and peak memory of any mmdet, mmseg or mmlight configs, side by side, without data.

Every network is measured as it is, with norms folded, with the channels last, in bf16, by ONNX Runtime, ... up to the
heads' outputs and to the final boxes or labels, all in turns in one run.

python tools/analysis_tools/benchmark.py thundernet_snet49_sample mmdet::ssd/ssd300_coco.py@300
python tools/analysis_tools/benchmark.py CONFIG@512x1024 ... --threads 1 2 --columns eager fused onnx --json times.json
"""

import mmlight  # isort: skip

import argparse
import json
from pathlib import Path

from mmlight.measure.benchmark import Plan, benchmark, environment, fill, markdown
from mmlight.deploy.folding import PARTS, VARIANTS
from mmlight.arguments import Parser
from mmlight.runtime.device import use_device
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    columns = '\n'.join(f'  {name:14} {what}' for name, what in VARIANTS.items())
    parser = Parser(
        description=__doc__, epilog=f'columns:\n{columns}', formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'configs',
        nargs='+',
        metavar='CONFIG[@SIZE]',
        help='path or name of a config, mmdet::FOLDER/FILE or mmseg::FOLDER/FILE; SIZE is HEIGHTxWIDTH or one number',
    )
    parser.add_argument('--columns', nargs='+', default=[], metavar='NAME', help='default: all but compile')
    parser.add_argument('--parts', nargs='+', default=list(PARTS), metavar='PART', help='net, e2e (default both)')
    parser.add_argument('--threads', type=int, nargs='+', default=[1], help='of the CPU (default 1)')
    parser.add_argument('--batch', type=int, nargs='+', default=[1], help='default 1')
    parser.add_argument('--device', default='cpu', help='cpu (default), cuda or cuda:N')
    parser.add_argument('--iterations', type=int, default=300, help='calls in a repeat at most (default 300)')
    parser.add_argument('--seconds', type=float, default=6, help='of a function in a repeat at most (default 6)')
    parser.add_argument('--repeats', type=int, default=3, help='default 3')
    parser.add_argument('--warmup', type=float, default=2, metavar='SECONDS', help='of a function (default 2)')
    parser.add_argument('--page', type=Path, help='Markdown page whose table is replaced')
    parser.add_argument('--json', type=Path, metavar='FILE', help='file to write all figures to')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    names = ('columns', 'parts', 'threads', 'batch', 'device', 'iterations', 'seconds', 'repeats')
    plan = Plan(**{name: getattr(args, name) for name in names}, warmup_seconds=args.warmup)
    with use_device(args.device):
        rows, on = benchmark(args.configs, plan), environment(args.device)
    text = markdown(rows, plan, on)
    print(text)
    if args.page:
        fill(args.page, text)
    if args.json:
        args.json.write_text(json.dumps({'environment': on, 'rows': [row.to_dict() for row in rows]}, indent=1))


if __name__ == '__main__':
    exit_on_input_error(main)
