"""Variables of TensorFlow and Keras as tensors under PyTorch's names and in its order of axes."""

import zipfile
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from mmlight.errors import InputError

LEAVES = {
    'kernel': ('weight', (3, 2, 0, 1)),
    'depthwise_kernel': ('weight', (2, 3, 0, 1)),
    'bias': ('bias', None),
    'gamma': ('weight', None),
    'beta': ('bias', None),
    'moving_mean': ('running_mean', None),
    'moving_variance': ('running_var', None),
}
"""Last part of a variable's name -> the tensor's, and the order of a kernel's axes (height, width, in, out)."""


def read_npz(path: str) -> dict[str, Tensor]:
    """The arrays of numbers in an .npz file.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f'SRC {path}: cannot be read as .npz ({error})') from None
    return {name: torch.from_numpy(value) for name, value in arrays.items() if value.dtype.kind == 'f'}


def as_state_dict(variables: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``conv/kernel`` (H, W, in, out) to ``conv.weight`` (out, in, H, W), and likewise what :data:`LEAVES` lists; other
    variables are left out."""
    found = {}
    for name, value in variables.items():
        module, _, leaf = name.removesuffix(':0').rpartition('/')
        if leaf in LEAVES:
            own, axes = LEAVES[leaf]
            if axes is not None:
                value = value.permute(axes) if value.dim() == 4 else value.T
            found[f'{module.replace("/", ".")}.{own}'] = value.contiguous()
    return found
