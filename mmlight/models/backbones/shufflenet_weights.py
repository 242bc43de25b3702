"""Weights of other ShuffleNetV2 implementations: key maps, and the check of their dialect."""

import torch
from torch import nn

FIRST_BLOCKS = ('half', 'keep')
SHUFFLE_MODES = ('interleave', 'parity')


def add_dialect_check(module: nn.Module, first_block: str, shuffle_mode: str) -> None:
    """Store the dialect of a network in its state dict, and refuse weights of the other one when they are loaded."""
    name = type(module).__name__
    if first_block not in FIRST_BLOCKS:
        raise ValueError(f'{name}: first_block must be one of {FIRST_BLOCKS}, got {first_block!r}')
    if shuffle_mode not in SHUFFLE_MODES:
        raise ValueError(f'{name}: shuffle_mode must be one of {SHUFFLE_MODES}, got {shuffle_mode!r}')
    code = [FIRST_BLOCKS.index(first_block), SHUFFLE_MODES.index(shuffle_mode)]
    module.register_buffer('dialect', torch.tensor(code, dtype=torch.uint8))
