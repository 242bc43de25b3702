"""Convert ShuffleNet, SNet or MobileNetV2 weights of torchvision, timm, mmpretrain, mmdet, megvii, and others.

Others: Yolo-FastestV2, the SNet release, Keras. Keras' weights are read as its .h5 (needs h5py) or as an .npz file of
its variables:

    np.savez('mobilenet_v2.npz', **{v.path: v.numpy() for v in net.variables})   # Keras 2: v.name
"""

import mmlight  # isort: skip
import argparse
import io
from collections.abc import Mapping
from pathlib import Path

import torch

from mmlight.arguments import Parser
from mmlight.runtime.checkpoint import AtomicBackend, load
from mmlight.errors import InputError, exit_on_input_error
from mmlight.layers.arithmetic import KEY, arguments, decode
from mmlight.layers.foreign_weights import convert, describe
from mmlight.models.backbones.shufflenet_v1 import STAGES
from mmlight.models.backbones.shufflenet_v2 import SHUFFLENET_V2, SNETS
from mmlight.models.backbones.xception_star import STEMS
from mmlight.registry import MODELS
from mmlight.weights.tensorflow import as_state_dict, read_h5, read_npz

V2_VARIANTS = ({}, {'kernel_size': 5}, {'leading_depthwise': True})
MOBILENET_V2_WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.4)
SHUFFLENET_V1_WIDTHS = (0.25, 0.5, 1.0, 1.5, 2.0)
CANDIDATES = {  # family -> config entries of the networks that its weights can be of
    'ShuffleNetV2': [{'type': 'mmlight.SNet', 'arch': arch} for arch in SNETS]
    + [
        {'type': 'mmlight.ShuffleNetV2', 'widen_factor': width} | variant
        for width in SHUFFLENET_V2
        for variant in V2_VARIANTS
    ],
    'ShuffleNetV1': [
        {'type': 'mmlight.ShuffleNetV1', 'groups': groups, 'widen_factor': width}
        for groups in STAGES
        for width in SHUFFLENET_V1_WIDTHS
    ],
    'XceptionStar': [{'type': 'mmlight.XceptionStar', 'widen_factor': width} for width in STEMS],
    'MobileNetV2': [{'type': 'mmlight.MobileNetV2', 'widen_factor': width} for width in MOBILENET_V2_WIDTHS],
}


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='SRC', help='checkpoint file in one of these layouts')
    parser.add_argument('target', metavar='DST', help='file to write')
    return parser.parse_args()


def network(weights: Mapping[str, torch.Tensor], family: str, dialect: dict[str, str]) -> dict:
    """The config entries of the network that has these shapes.

    Raises:
        InputError: if there is none.
    """
    found = {name: tensor.shape for name, tensor in weights.items() if not name.startswith(('fc.', KEY))}
    for entries in CANDIDATES[family]:
        net = MODELS.build({**entries, **dialect, 'num_classes': 1})
        shapes = {name: tensor.shape for name, tensor in net.state_dict().items()}
        if found.items() <= shapes.items():
            return entries
    raise InputError(f'these weights have the shapes of no {family} here')


def main() -> None:
    args = parse_args()
    if Path(args.source).suffix == '.npz':
        state_dict = as_state_dict(read_npz(args.source))
    elif Path(args.source).suffix == '.h5':
        state_dict = as_state_dict(read_h5(args.source))
    else:
        content = load(args.source, 'SRC')
        found = (content[key] for key in ('state_dict', 'model') if isinstance(content.get(key), dict))
        state_dict = {name: x for name, x in next(found, content).items() if isinstance(x, torch.Tensor)}
    try:
        weights, layout, dialect = convert(state_dict)
        entries = network(weights, layout.network, dialect)
    except InputError as error:
        raise InputError(f'SRC {args.source}: {error}') from None
    arithmetic = decode(weights[KEY]) if KEY in weights else {}
    meta = {'layout': layout.name, **dialect, 'data_preprocessor': layout.image}
    file = io.BytesIO()
    torch.save({'state_dict': {name: tensor.detach().clone() for name, tensor in weights.items()}, 'meta': meta}, file)
    try:
        AtomicBackend().put(file.getvalue(), args.target)
    except OSError as error:
        raise InputError(f'DST {args.target}: cannot be written ({error.strerror})') from None

    told = f' ({describe(dialect)})' if dialect else ''
    count = len(weights) - (KEY in weights)
    print(f'{args.target}: {count} tensors of {layout.network} from the layout of {layout.name}{told}')
    print('The config that takes them:')
    pretrained = f"init_cfg=dict(type='Pretrained', checkpoint={args.target!r})"
    needed = [describe(entries | dialect), *([arguments(arithmetic)] if arithmetic else []), pretrained]
    print(f'  backbone=dict({", ".join(needed)})')
    if arithmetic and 'eps' not in arithmetic:
        print("The file does not tell its norms' eps: set norm_cfg as in the training that made it")
    if layout.image:
        image = ', '.join(f'{key}={value}' for key, value in layout.image.items())
        print(f'Input that they are trained on:\n  data_preprocessor=dict({image})')
    else:
        print('Input that they are trained on: see the config of the training that made the file')


if __name__ == '__main__':
    exit_on_input_error(main)
