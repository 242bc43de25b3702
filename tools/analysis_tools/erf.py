"""Effective receptive fields of the backbones (or necks) of detectors, as a table and a picture.

python tools/analysis_tools/erf.py faster-rcnn_r50_8xb2-13e_coco faster-rcnn_scr-r50_8xb2-13e_coco --out erf.png
"""

import mmlight  # isort: skip

from pathlib import Path

import mmcv
import torch

from mmlight.runtime.inference import build
from mmlight.measure.receptive_field import draw, effective_fields, theoretical
from mmlight.arguments import Parser
from mmlight.runtime import checkpoint as ckpt
from mmlight.runtime.config import load_config
from mmlight.errors import InputError, exit_on_input_error


def parse_args():
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config files, or names of shipped ones')
    parser.add_argument('--weights', nargs='+', metavar='FILE', help='a checkpoint for each; default: random weights')
    parser.add_argument('--images', type=Path, metavar='DIR', help='pictures to average over; default: noise')
    parser.add_argument('--neck', action='store_true', help='the maps of the neck; of use with --weights only')
    parser.add_argument('--size', type=int, default=512, help='side of the image (default 512)')
    parser.add_argument('--samples', type=int, default=4, help='images (default 4)')
    parser.add_argument('--cell', type=int, default=8, help='pixels that are averaged, in a row (default 8)')
    parser.add_argument('--seed', type=int, default=0, help='of weights and noise (default 0)')
    parser.add_argument('--out', type=Path, metavar='FILE', help='picture to write')
    return parser.parse_args()


def pictures(folder: Path, size: int, samples: int) -> list[torch.Tensor]:
    """Pictures as (3, size, size), each normalised by its own mean and deviation."""
    files = sorted(f for f in folder.rglob('*') if f.suffix.lower() in ('.jpg', '.jpeg', '.png'))[:samples]
    if not files:
        raise InputError(f'--images {folder}: holds no .jpg and no .png')
    images = (torch.from_numpy(mmcv.imresize(mmcv.imread(str(f)), (size, size))) for f in files)
    return [((image - image.mean()) / image.std()).permute(2, 0, 1) for image in (i.float() for i in images)]


def main() -> None:
    args = parse_args()
    if args.weights and len(args.weights) != len(args.configs):
        raise InputError(f'--weights: {len(args.weights)} files for {len(args.configs)} configs')
    images = pictures(args.images, args.size, args.samples) if args.images else None
    fields, known = {}, {}
    for number, name in enumerate(args.configs):
        torch.manual_seed(args.seed)
        model = build(load_config(name))
        if args.weights:
            content = ckpt.load(args.weights[number], '--weights')
            ckpt.check_fits(model, content, args.weights[number])
            ckpt.load_into(model, content)
        title = Path(name).stem.split('_8xb')[0]
        network = model if args.neck else model.backbone
        fields[title] = effective_fields(
            network, images, args.size, args.samples, args.cell, args.seed, batch_statistics=not args.weights
        )
        known[title] = {} if args.neck else theoretical(model.backbone)
        for field in fields[title]:
            limit = f', theoretical {known[title][field.stride]}' if field.stride in known[title] else ''
            print(f'{title}, stride {field.stride}: {field.side:.0f} pixels{limit}', flush=True)
    if args.out:
        draw(fields, args.out, known)
        print(f'wrote {args.out}')


if __name__ == '__main__':
    exit_on_input_error(main)
