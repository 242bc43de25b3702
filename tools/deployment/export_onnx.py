"""Export a detector or segmentor as an ONNX file: image in; boxes, scores and labels, or labels of all pixels, out.

The file holds normalisation, suppression, class names and colours; tools/deployment/predict_onnx.py runs it without
PyTorch. It is written only if it computes what the network computes, on random and real images.

python tools/deployment/export_onnx.py thundernet_snet49_sample work_dirs/.../epoch_12.pth --out thundernet.onnx
python tools/deployment/export_onnx.py bisenet_xception39_sample CHECKPOINT --dynamic batch size
python tools/deployment/export_onnx.py thundernet_snet49_sample CHECKPOINT --int8   # thundernet_..._int8.onnx as well
"""

import mmlight  # isort: skip

import argparse
import tempfile
from pathlib import Path

import cv2
from mmengine.config import Config

from mmlight.arguments import Options, Parser
from mmlight.deploy.export import OPSETS, export
from mmlight.deploy.quantization import IMAGES, calibration_images, quantize
from mmlight.deploy.verification import real_images, verify
from mmlight.runtime.config import load_config
from mmlight.runtime.sources import find_images
from mmlight.deploy.onnx_model import exported
from mmlight.runtime.run import RunOptions
from mmlight.runtime.test import evaluate
from mmlight.errors import InputError, exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', metavar='CONFIG', help='path of a config, or the name of a shipped one')
    parser.add_argument(
        'checkpoint',
        nargs='?',
        metavar='CHECKPOINT',
        help="file, 'published', or the name of published weights; without one: random weights",
    )
    parser.add_argument('--out', type=Path, metavar='FILE', help='default <config>.onnx')
    parser.add_argument(
        '--shape', type=int, nargs='+', metavar='N', help='height and width (default: those of the test pipeline)'
    )
    parser.add_argument('--dynamic', nargs='+', default=[], metavar='AXIS', help='batch, size: what may change')
    parser.add_argument('--output', default='labels', choices=['labels', 'logits'], help='of a segmentor')
    parser.add_argument('--opset', type=int, default=OPSETS[0], help=f'{OPSETS[0]} (default) to {OPSETS[1]}')
    parser.add_argument(
        '--images', nargs='+', metavar='IMAGE', help="real images to verify with (default: the config's, else drawn)"
    )
    parser.add_argument(
        '--int8',
        nargs='?',
        type=int,
        const=IMAGES,
        metavar='IMAGES',
        help=f"write a second file in 8-bit integers, calibrated on so many of the config's images (default {IMAGES}), "
        "and print the config's metric of both",
    )
    parser.add_argument('--cfg-options', nargs='+', action=Options, metavar='KEY=VALUE', help='override the config')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    images = [cv2.imread(str(file)) for file in find_images(args.images)[:8]] if args.images else real_images(cfg)
    if any(image is None for image in images):
        raise InputError(f'--images {args.images}: an image cannot be decoded')
    calibration = calibration_images(cfg, args.int8) if args.int8 is not None else []
    logits = args.output == 'logits'
    out = args.out or Path(f'{Path(cfg.filename).stem}.onnx')
    if out.is_dir():
        raise InputError(f'--out {out}: is a folder; must be a file')
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent) as folder:  # an earlier file stays until this one is verified
            file = Path(folder, out.name)
            exported = export(cfg, args.checkpoint, file, args.shape, args.dynamic, args.opset, logits)
            agreement = verify(exported, images)
            file.replace(out)
    except InputError as error:
        raise InputError(str(error).replace(str(file), str(out))) from error
    except OSError as error:
        raise InputError(f'--out {out}: cannot be written ({error.strerror or error})') from error
    about = exported.description
    size = ' x '.join(map(str, about['size'])) + (f', dynamic: {", ".join(about["dynamic"])}' * bool(about['dynamic']))
    print(f'{out}: {out.stat().st_size / 2**20:.1f} MiB, opset {args.opset}, image {size}')
    if about.get('replaces'):
        print(f'{about["replaces"]} was replaced by nms of the same overlap, {about["nms"]["iou_threshold"]}')
    print(f'equal to PyTorch on {agreement}')
    if calibration:
        file = out.with_stem(f'{out.stem}_int8')
        quantization = quantize(out, file, calibration)['quantization']
        print(f'{file}: {file.stat().st_size / 2**20:.1f} MiB, {quantization}')
        print_metrics(cfg, out, file)


def print_metrics(cfg: Config, *files: Path) -> None:
    """The config's metrics of each file, one below the other."""
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(folder, device='cpu')
        found = {file: evaluate(cfg, None, options, changes=[exported(file)]) for file in files}
    names = dict.fromkeys(name for metrics in found.values() for name in metrics)
    print('  '.join(['metric', *(file.name for file in files)]))
    for name in names:
        print('  '.join([name, *(f'{metrics.get(name, float("nan")):.4g}' for metrics in found.values())]))


if __name__ == '__main__':
    exit_on_input_error(main)
