"""Convert EfficientDet weights of effdet (and its tf_efficientdet_* files) or of yaed for mmlight."""

import mmlight  # isort: skip
import argparse
import io
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmlight.arguments import Parser
from mmlight.runtime.checkpoint import AtomicBackend, compare, load, weights_of
from mmlight.errors import InputError, exit_on_input_error
from mmlight.tables.efficientdet_scaling import EFFICIENTDETS
from mmlight.weights.efficientdet import convert
from mmlight.registry import MODELS

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'efficientdet'


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument('source', metavar='SRC', help='checkpoint file in one of these layouts')
    parser.add_argument('target', metavar='DST', help='file to write')
    parser.add_argument('--model', choices=list(EFFICIENTDETS), help='default: found from the shapes')
    parser.add_argument('--num-classes', type=int, default=80, help='classes of the model; 90 keep all of COCO')
    return parser.parse_args()


def check(weights: dict[str, torch.Tensor], config: Path, model: str, num_classes: int) -> None:
    """Raise if the detector of ``config`` has other weights than these."""
    cfg = Config.fromfile(config)
    init_default_scope('mmdet')
    cfg.model.bbox_head.num_classes = num_classes
    missing, unexpected, shaped = compare(MODELS.build(cfg.model), {'state_dict': weights})
    if wrong := missing + unexpected + shaped:
        raise InputError(f'{len(wrong)} weights do not fit {model}, the first {", ".join(wrong[:3])}')


def main() -> None:
    args = parse_args()
    if args.num_classes < 1:
        raise InputError(f'--num-classes: must be at least 1, got {args.num_classes}')
    content = load(args.source, 'SRC')
    ema = content.get('state_dict_ema')  # of timm's trainings: the averaged weights are the better ones
    content = {'state_dict': ema or content.get('state_dict') or content.get('model') or content}
    try:
        weights, model, layout = convert(weights_of(content), args.model, args.num_classes)
        config = next(CONFIGS.glob(f'efficientdet_{model}_8xb16-*-300e_coco.py'))
        check(weights, config, model, args.num_classes)
    except InputError as error:
        raise InputError(f'SRC {args.source}: {error}') from None
    meta = {'source': Path(args.source).name, 'layout': layout, 'model': model, 'num_classes': args.num_classes}
    file = io.BytesIO()
    torch.save({'state_dict': {name: tensor.detach().clone() for name, tensor in weights.items()}, 'meta': meta}, file)
    try:
        AtomicBackend().put(file.getvalue(), args.target)
    except OSError as error:
        raise InputError(f'DST {args.target}: cannot be written ({error.strerror})') from None

    averaged = ' (averaged weights)' if ema else ''
    print(f'{args.target}: {len(weights)} tensors of {model} from the layout of {layout}{averaged}')
    classes = '' if args.num_classes == 80 else f' model.bbox_head.num_classes={args.num_classes}'
    print(
        f'The config that takes them: configs/efficientdet/{config.name} --cfg-options load_from={args.target}{classes}'
        ' model.bbox_head.anchor_generator.type=mmlight.AspectPairAnchorGenerator'
    )
    if layout == 'yaed':
        print(
            'warning: yaed pads its max pooling with 0 where mmlight pads with -inf (as the authors of EfficientDet): '
            'results at the right and lower border differ',
            file=sys.stderr,
        )


if __name__ == '__main__':
    exit_on_input_error(main)
