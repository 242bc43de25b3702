"""Convert ShuffleNetV2 or SNet weights of torchvision, mmpretrain, megvii or the SNet release for mmlight."""

import mmlight  # isort: skip
import argparse
import io
from collections.abc import Mapping

import torch

from mmlight.arguments import Parser
from mmlight.engine.checkpoint import AtomicBackend, load
from mmlight.errors import InputError, exit_on_input_error
from mmlight.models.backbones.shufflenet_v2 import SHUFFLENET_V2, SNETS
from mmlight.models.backbones.shufflenet_weights import convert, describe, layout_of


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument('source', metavar='SRC', help='checkpoint file in one of these layouts')
    parser.add_argument('target', metavar='DST', help='file to write')
    return parser.parse_args()


def network(weights: Mapping[str, torch.Tensor]) -> str:
    """The config entries of the network that has these shapes."""
    first = [weights.get(f'layers.{stage}.0.branch2.0.conv.weight') for stage in range(3)]
    depthwise = weights.get('layers.0.0.branch2.1.conv.weight')
    if depthwise is not None and all(tensor is not None for tensor in first):
        channels, kernel = tuple(2 * len(tensor) for tensor in first), depthwise.shape[-1]
        for arch, table in SNETS.items():
            if channels == tuple(width for width, _ in table.stages) and kernel == table.kernel:
                return f"type='mmlight.SNet', arch={arch}"
        for factor, table in SHUFFLENET_V2.items():
            if channels == tuple(width for width, _ in table.stages) and kernel in (3, 5):
                size = '' if kernel == 3 else f', kernel_size={kernel}'
                return f"type='mmlight.ShuffleNetV2', widen_factor={factor}{size}"
    raise InputError(
        'these weights have the shapes of no network here (all of ShuffleNetV2 0.5 to 2.0, SNet 49 to 535)'
    )


def main() -> None:
    args = parse_args()
    content = load(args.source, 'SRC')
    state_dict = next((content[key] for key in ('state_dict', 'model') if isinstance(content.get(key), dict)), content)
    state_dict = {name: tensor for name, tensor in state_dict.items() if isinstance(tensor, torch.Tensor)}
    try:
        layout = layout_of(state_dict)
        weights, first_block, shuffle_mode = convert(state_dict)
        entries = network(weights)
    except InputError as error:
        raise InputError(f'SRC {args.source}: {error}') from None
    meta = {
        'layout': layout.name,
        'first_block': first_block,
        'shuffle_mode': shuffle_mode,
        'data_preprocessor': layout.image,
    }
    file = io.BytesIO()
    torch.save({'state_dict': {name: tensor.detach().clone() for name, tensor in weights.items()}, 'meta': meta}, file)
    try:
        AtomicBackend().put(file.getvalue(), args.target)
    except OSError as error:
        raise InputError(f'DST {args.target}: cannot be written ({error.strerror})') from None

    dialect = describe(first_block, shuffle_mode)
    print(f'{args.target}: {len(weights)} tensors from the layout of {layout.name}, {dialect}')
    print('The config that takes them:')
    print(f"  backbone=dict({entries}, {dialect}, init_cfg=dict(type='Pretrained', checkpoint={args.target!r}))")
    if layout.image:
        image = ', '.join(f'{key}={value}' for key, value in layout.image.items())
        print(f'Input that they are trained on:\n  data_preprocessor=dict({image})')
    else:
        print('Input that they are trained on: see the config of the training that made the file')


if __name__ == '__main__':
    exit_on_input_error(main)
