"""Fill a network with a reallocated number of blocks from torchvision's ImageNet weights of the ResNet it came from.

python tools/model_converters/resnet_to_scr.py torchvision_resnet50 checkpoints/scr-resnet50.pth --arch scr-resnet50

Added blocks start as the identity. This does not replace ImageNet training of the new network, as the paper does.
"""

import mmlight  # isort: skip

import io

import torch

from mmlight.arguments import Parser
from mmlight.runtime.checkpoint import AtomicBackend, load, weights_of
from mmlight.errors import InputError, exit_on_input_error
from mmlight.tables.allocations import PUBLISHED
from mmlight.weights.catalogue import catalogue
from mmlight.weights.download import get
from mmlight.weights.scr import fill


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'source',
        metavar='SRC',
        help='checkpoint file, or a name of `mmlight weights list`',
    )
    parser.add_argument('target', metavar='DST', help='file to write')
    networks = [name for name, table in PUBLISHED.items() if table.depth]
    parser.add_argument('--arch', choices=networks, help='published allocation')
    parser.add_argument('--blocks', type=int, nargs=4, metavar='N', help='blocks of each stage')
    args = parser.parse_args()
    if (args.arch is None) == (args.blocks is None):
        raise InputError('--arch or --blocks: one of them is needed, and not both')
    blocks = tuple(args.blocks) if args.blocks else PUBLISHED[args.arch].stage_blocks
    if min(blocks) < 1:
        raise InputError(f'--blocks: must be positive, got {blocks}')
    try:
        weights = fill(weights_of(load(get(args.source) if args.source in catalogue() else args.source, 'SRC')), blocks)
    except InputError as error:
        raise InputError(f'SRC {args.source}: {error}') from None
    file = io.BytesIO()
    torch.save({'state_dict': weights, 'meta': {'stage_blocks': blocks, 'source': args.source}}, file)
    AtomicBackend().put(file.getvalue(), args.target)
    print(f'{args.target}: {len(weights)} tensors; the config that takes them:')
    print(f"  backbone=dict(stage_blocks={blocks}, init_cfg=dict(type='Pretrained', checkpoint={args.target!r}))")


if __name__ == '__main__':
    exit_on_input_error(main)
