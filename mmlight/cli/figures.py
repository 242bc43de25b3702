"""The commands that draw data and compare networks."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from mmlight.cli.shared import add_config

CONTENDER = 'path or name of a config, mmdet::FOLDER/FILE or mmseg::FOLDER/FILE; SIZE is HEIGHTxWIDTH or one number'
COLUMNS = 'eager, fused, channels-last, bf16, fp16, compile, cuda-graph, onnx'


def browse_arguments(sub: argparse.ArgumentParser) -> None:
    add_config(sub)
    sub.add_argument('--data', metavar='DIR', help="folder with your data instead of the config's")
    sub.add_argument(
        '--output-dir', help='folder for the pictures; default without a display: work_dirs/<config>/browse'
    )
    sub.add_argument('--not-show', action='store_true', help='open no windows (never opened without a display)')
    sub.add_argument('--show-interval', type=float, default=2, help='seconds that a window stays open')
    sub.add_argument('--show-number', type=int, help='number of samples; default: all')
    sub.add_argument('--phase', choices=('train', 'val', 'test'), default='train', help='whose data set')


def browse(args: argparse.Namespace) -> None:
    from mmlight.measure import dataset_view
    from mmlight.runtime.run import RunOptions, prepare

    config = prepare(args.config, RunOptions(cfg_options=args.cfg_options, data=args.data))
    show = not args.not_show and _has_display()
    folder = args.output_dir
    if not show and folder is None:
        folder = Path('work_dirs') / Path(config.filename).stem / 'browse'
    pictures = list(dataset_view.browse(config, args.phase, folder, args.show_number, show, args.show_interval))
    print(f'{len(pictures)} samples drawn' + (f' into {folder}' if folder else ''))


def _has_display() -> bool:
    return sys.platform in ('win32', 'darwin') or bool(os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY'))


def benchmark_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('configs', nargs='+', metavar='CONFIG[@SIZE]', help=CONTENDER)
    sub.add_argument(
        '--columns', nargs='+', default=[], metavar='NAME', help=f'{COLUMNS} (default: what the device has, no compile)'
    )
    sub.add_argument('--parts', nargs='+', default=['net', 'e2e'], metavar='PART', help='net, e2e (default both)')
    sub.add_argument('--threads', type=int, nargs='+', default=[1], help='of the CPU (default 1)')
    sub.add_argument('--batch', type=int, nargs='+', default=[1], help='default 1')
    sub.add_argument('--device', default='cpu', help='cpu (default), cuda or cuda:N')
    sub.add_argument('--iterations', type=int, default=300, help='calls in a repeat at most (default 300)')
    sub.add_argument('--seconds', type=float, default=6, help='of a function in a repeat at most (default 6)')
    sub.add_argument('--repeats', type=int, default=3, help='default 3')
    sub.add_argument('--warmup', type=float, default=2, metavar='SECONDS', help='of a function (default 2)')
    sub.add_argument('--page', type=Path, help='Markdown page whose table is replaced')
    sub.add_argument('--json', type=Path, metavar='FILE', help='file to write all figures to')


def benchmark(args: argparse.Namespace) -> None:
    from mmlight.files import check_writable, put
    from mmlight.measure import benchmark as measured
    from mmlight.runtime.device import use_device

    if args.page:
        measured.around(args.page)
    if args.json:
        check_writable(args.json, '--json')
    names = ('columns', 'parts', 'threads', 'batch', 'device', 'iterations', 'seconds', 'repeats')
    plan = measured.Plan(**{name: getattr(args, name) for name in names}, warmup_seconds=args.warmup)
    with use_device(args.device):
        rows, on = measured.benchmark(args.configs, plan), measured.environment(args.device)
    text = measured.markdown(rows, plan, on)
    print(text)
    if args.page:
        measured.fill(args.page, text)
    if args.json:
        put(json.dumps({'environment': on, 'rows': [row.to_dict() for row in rows]}, indent=1), args.json)


def compare_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('configs', nargs='*', metavar='CONFIG[@SIZE]', help=CONTENDER)
    sub.add_argument('--work-dirs', nargs='+', default=[], metavar='DIR', help='of trainings: curves, predictions')
    sub.add_argument('--images', nargs='+', default=[], metavar='IMAGE', help='files or folders to predict on')
    sub.add_argument('--out', type=Path, default=Path('report'), metavar='DIR', help='default report')
    sub.add_argument('--columns', nargs='+', default=['fused'], metavar='NAME', help=f'{COLUMNS} (default fused)')
    sub.add_argument('--threads', type=int, default=1, help='of the CPU (default 1)')
    sub.add_argument('--device', default='cpu', help='cpu (default), cuda or cuda:N')
    sub.add_argument('--seconds', type=float, default=2, help='of a function in a repeat (default 2)')


def compare(args: argparse.Namespace) -> None:
    from mmlight.errors import InputError
    from mmlight.measure.benchmark import Plan
    from mmlight.measure.report import make_report
    from mmlight.runtime.device import use_device

    if not args.configs and not args.work_dirs:
        raise InputError('nothing to compare: give configs or --work-dirs')
    options = dict(columns=args.columns, threads=[args.threads], device=args.device)
    plan = Plan(**options, seconds=args.seconds, warmup_seconds=args.seconds / 4)
    with use_device(args.device):
        entries = make_report(args.configs, args.out, args.work_dirs, args.images, plan)
    print(f'{len(entries)} networks in {args.out / "index.html"} and {args.out / "report.md"}')
