"""``mmlight export``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmlight.cli.shared import add_config
from mmlight.errors import InputError

if TYPE_CHECKING:
    from mmengine.config import Config

IMAGES = 64
"""For calibration, unless the user says how many."""


def export_arguments(sub: argparse.ArgumentParser) -> None:
    add_config(sub)
    sub.add_argument(
        'checkpoint',
        nargs='?',
        metavar='CHECKPOINT',
        help="file, 'published', or the name of published weights; without one: random weights",
    )
    sub.add_argument('--format', default='onnx', help='onnx (default), torchscript, openvino or coreml')
    sub.add_argument('--out', type=Path, metavar='FILE', help="default <config> with the format's suffix")
    sub.add_argument(
        '--shape', type=int, nargs='+', metavar='N', help='height and width (default: those of the test pipeline)'
    )
    sub.add_argument('--dynamic', nargs='+', default=[], metavar='AXIS', help='batch, size: what may change')
    sub.add_argument('--output', default='labels', choices=['labels', 'logits'], help='of a segmentor')
    sub.add_argument('--opset', type=int, default=17, help='17 (default) to 20')
    sub.add_argument(
        '--images', nargs='+', metavar='IMAGE', help="real images to verify with (default: the config's, else drawn)"
    )
    sub.add_argument(
        '--int8',
        nargs='?',
        type=int,
        const=IMAGES,
        metavar='IMAGES',
        help=f"write a second ONNX file in 8-bit integers, calibrated on so many of the config's images (default "
        f"{IMAGES}), and print the config's metric and the time of both",
    )


def export(args: argparse.Namespace) -> None:
    import cv2

    from mmlight.deploy.formats import FORMATS, export_verified
    from mmlight.deploy.quantization import calibration_images, quantize
    from mmlight.deploy.verification import real_images
    from mmlight.runtime.config import load_config
    from mmlight.runtime.sources import find_images

    if args.int8 is not None and args.format != 'onnx':
        raise InputError(f'--int8: with --format onnx only, not {args.format}')
    cfg = load_config(args.config, args.cfg_options)
    given = [cv2.imread(str(file)) for file in find_images(args.images)[:8]] if args.images else real_images(cfg)
    images = [image for image in given if image is not None]
    if len(images) < len(given):
        raise InputError(f'--images {args.images}: an image cannot be decoded')
    calibration = calibration_images(cfg, args.int8) if args.int8 is not None else []
    out = args.out or Path(Path(cfg.filename).stem + FORMATS.get(args.format, ('',))[0])
    options = dict(shape=args.shape, dynamic=args.dynamic, opset=args.opset, logits=args.output == 'logits')
    exported, agreement = export_verified(cfg, args.checkpoint, out, images, args.format, **options)
    about = exported.description
    size = ' x '.join(map(str, about['size'])) + (f', dynamic: {", ".join(about["dynamic"])}' * bool(about['dynamic']))
    opset = f', opset {args.opset}' if args.format == 'onnx' else ''
    print(f'{out}: {_mebibytes(out):.1f} MiB{opset}, image {size}')
    if about.get('replaces'):
        print(f'{about["replaces"]} was replaced by nms of the same overlap, {about["nms"]["iou_threshold"]}')
    print(f'equal to PyTorch on {agreement}')
    if calibration:
        file = out.with_stem(f'{out.stem}_int8')
        quantization = quantize(out, file, calibration)['quantization']
        print(f'{file}: {_mebibytes(file):.1f} MiB, {quantization}')
        _print_metrics(cfg, out, file)
        print(_times(out, file, about['size']))
    if args.format == 'onnx':
        script = Path(__file__).parents[1] / '.mim' / 'tools' / 'deployment' / 'predict_onnx.py'
        print(f'run it without PyTorch: python {script} {out} IMAGE')


def _mebibytes(out: Path) -> float:
    files = out.rglob('*') if out.is_dir() else (out, out.with_suffix('.bin'))
    return sum(file.stat().st_size for file in files if file.is_file()) / 2**20


def _print_metrics(cfg: Config, *files: Path) -> None:
    """The config's metrics of each file, one below the other."""
    import tempfile

    from mmlight.deploy.onnx_model import exported
    from mmlight.runtime.run import RunOptions
    from mmlight.runtime.test import evaluate

    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(folder, device='cpu')
        found = {file: evaluate(cfg, None, options, changes=[exported(file)]) for file in files}
    names = dict.fromkeys(name for metrics in found.values() for name in metrics)
    print('  '.join(['metric', *(file.name for file in files)]))
    for name in names:
        print('  '.join([name, *(f'{metrics.get(name, float("nan")):.4g}' for metrics in found.values())]))


def _times(plain: Path, quantized: Path, size: Sequence[int]) -> str:
    """One line: what an image takes on this CPU, in turns, and whether integers are faster at all."""
    from functools import partial

    import numpy as np

    from mmlight.deploy.verification import open_session
    from mmlight.measure.latency import measure_latency

    image = {'image': np.random.default_rng(0).uniform(0, 255, (1, 3, *size)).astype(np.float32)}
    calls = {str(file): partial(open_session(file).run, None, image) for file in (plain, quantized)}
    found = measure_latency(calls, rounds=200, warmup_rounds=2, repeats=3, limit=2)
    fp32, int8 = found[str(plain)].p50, found[str(quantized)].p50
    verdict = f'{fp32 / int8:.2f} times as fast' if int8 < 0.97 * fp32 else 'NOT faster on this CPU: use the first file'
    return f'an image takes {int8:.1f} ms in 8-bit integers, {fp32:.1f} ms in float32: {verdict}'
