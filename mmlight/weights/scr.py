"""Weights for a ResNet with other numbers of blocks, out of those of a published one."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from mmlight.errors import InputError

BLOCK = re.compile(r'layer(\d)\.(\d+)\.(.+)')


def fill(state_dict: Mapping[str, Tensor], stage_blocks: Sequence[int]) -> dict[str, Tensor]:
    """Block k of a stage gets the weights of block k of that stage; a block beyond the last those of the last.

    The last batch norm of such a block is zero, so that it starts as the identity: the new network computes what the
    old one did where only blocks are added. This is our choice, not the paper's, which trains each network on ImageNet.

    Args:
        state_dict: Of a ResNet or ResNeXt in the names of torchvision and mmdet; its classifier is left out.
        stage_blocks: Blocks of each stage of the network that is to be filled.

    Raises:
        InputError: for weights of another network.
    """
    weights = {name.removeprefix('backbone.'): tensor for name, tensor in state_dict.items()}
    have: dict[int, dict[int, dict[str, Tensor]]] = {}
    for name, tensor in weights.items():
        if found := BLOCK.fullmatch(name):
            have.setdefault(int(found[1]), {}).setdefault(int(found[2]), {})[found[3]] = tensor
    if 'conv1.weight' not in weights or sorted(have) != [1, 2, 3, 4] or any(len(stage) < 2 for stage in have.values()):
        raise InputError(f'not the weights of a ResNet: they have {", ".join(list(weights)[:3])}, ...')
    result = {name: tensor.clone() for name, tensor in weights.items() if name.startswith(('conv1.', 'bn1.'))}
    for stage, count in enumerate(stage_blocks, 1):
        last = max(have[stage])
        for block in range(count):
            for rest, tensor in have[stage][min(block, last)].items():
                tensor = tensor.clone()
                final = 'bn3' if 'bn3.weight' in have[stage][last] else 'bn2'
                if block > last and rest in (f'{final}.weight', f'{final}.bias'):
                    tensor.zero_()
                result[f'layer{stage}.{block}.{rest}'] = tensor
    return result
