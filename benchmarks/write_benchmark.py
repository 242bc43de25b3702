"""Write docs/benchmark.md from one run: our families, mmdet's and mmseg's baselines, public implementations.

python -m benchmarks.write_benchmark                  # some twenty minutes on two quiet cores
python -m benchmarks.write_benchmark --device cuda --page docs/benchmark_gpu.md
"""

import mmlight  # isort: skip

import argparse
import datetime
import json
import sys
from pathlib import Path

from mmlight.measure.benchmark import Plan, benchmark, environment, markdown
from benchmarks.public_pairs import PAIRS, compare_pairs
from benchmarks.public_pairs import markdown as pairs_markdown
from mmlight.arguments import Parser
from mmlight.runtime.device import use_device
from mmlight.errors import exit_on_input_error

NETWORKS = (
    'thundernet_snet49_4xb16-375k_coco-320',
    'thundernet_snet146_4xb16-375k_coco-320',
    'ssdlite_mobilenet-v2_8xb24-600e_coco-320',
    'ssdlite_shufflenet-v2-x1_8xb24-600e_coco-320',
    'light-head-rcnn_xception-s_8xb2-125k_coco@320',
    'rfcn_shufflenet-v2_bccd@320',
    'efficientdet_lite0_8xb16-crop320-300e_coco',
    'efficientdet_d0_8xb16-crop512-300e_coco',
    'retinanet_mobilenet-v2_nasfpnlite-3x48_8xb8-crop320-50e_coco',
    'retinanet_spinenet-mobile-49_8xb32-crop384-500e_coco',
    'faster-rcnn_scr-mobilenet-v2_8xb2-12e_coco@320',
    'mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py@320',
    'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py@416',
    'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py@320',
    'dfanet_a_4xb12-80k_cityscapes-1024x1024@512x1024',
    'dfanet_b_4xb12-80k_cityscapes-1024x1024@512x1024',
    'bisenet_xception39_4xb4-160k_cityscapes-1024x1024@512x1024',
    'bisenet_r18_4xb4-160k_cityscapes-1024x1024@512x1024',
    'mmseg::bisenetv1/bisenetv1_r18-d32_4xb4-160k_cityscapes-1024x1024.py@512x1024',
    'mmseg::fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py@512x1024',
)

INTRODUCTION = """# Benchmark

Written by `{command}` on {date}. Every network has random weights; nothing was trained, and milliseconds say nothing
about accuracy: `mmlight compare` puts both side by side. Measured as
`mmlight benchmark` does, but for {seconds} s in each of three repeats instead of 6 s, so that all fit
into one run; suppression is hard and finds more candidates than with trained weights.
"""


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='*', metavar='CONFIG[@SIZE]', help='instead of the usual ones')
    parser.add_argument('--page', type=Path, default=Path('docs/benchmark.md'), help='default docs/benchmark.md')
    parser.add_argument(
        '--columns', nargs='+', metavar='NAME', help='default: eager fused channels-last onnx, on a GPU all but compile'
    )
    parser.add_argument(
        '--pairs', nargs='*', default=list(PAIRS), metavar='NAME', help=f'of {", ".join(PAIRS)}; on the CPU'
    )
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2], help='default 1 2')
    parser.add_argument('--device', default='cpu', help='cpu (default), cuda or cuda:N')
    parser.add_argument('--seconds', type=float, default=0.8, help='of a function in a repeat (default 0.8)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='file to write all figures to')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    on_cpu = args.device == 'cpu'
    plan = Plan(
        columns=args.columns or (['eager', 'fused', 'channels-last', 'onnx'] if on_cpu else []),
        threads=args.threads if on_cpu else [1],
        seconds=args.seconds,
        warmup_seconds=args.seconds / 2,
        device=args.device,
    )
    with use_device(args.device):
        pairs = compare_pairs(args.pairs, args.threads, args.seconds) if args.pairs and on_cpu else []
        rows, on = benchmark(args.configs or NETWORKS, plan), environment(args.device)
    command = ' '.join(['python -m benchmarks.write_benchmark', *sys.argv[1:]])
    text = INTRODUCTION.format(command=command, date=datetime.date.today().isoformat(), seconds=args.seconds)
    if pairs:
        text += f'\n## Beside public implementations, same weights\n\n{pairs_markdown(pairs)}\n'
    text += f'\n## All families\n\n{markdown(rows, plan, on)}\n'
    args.page.parent.mkdir(parents=True, exist_ok=True)
    args.page.write_text(text, encoding='utf-8')
    if args.json:
        figures = {'environment': on, 'rows': [row.to_dict() for row in rows], 'pairs': [p.to_dict() for p in pairs]}
        args.json.write_text(json.dumps(figures, indent=1), encoding='utf-8')
    print(f'{len(rows)} networks, {len(pairs)} pairs in {args.page}')


if __name__ == '__main__':
    exit_on_input_error(main)
