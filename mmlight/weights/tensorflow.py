"""Variables of TensorFlow and Keras as tensors under PyTorch's names and in its order of axes.

tensorflow/tpu numbers its layers within their scope in the order in which they are made. Networks here whose modules
stand in the same order take them by those numbers (:func:`convert`).
"""

import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.layers.arithmetic import arithmetic_of, encode
from mmlight.models.backbones.spinenet_mbconv import ARCHITECTURES, BASE_CHANNELS
from mmlight.registry import MODELS

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


def read_h5(path: str | Path) -> dict[str, Tensor]:
    """The variables in Keras' ``.h5`` of weights or of a whole model, as ``layer/variable``.

    Raises:
        InputError: if it cannot be read, or the package h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise InputError(f'{path}: needs the package h5py (pip install h5py)') from None
    found = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset) and 'optimizer_weights' not in name:
            found['/'.join(name.split('/')[-2:])] = torch.from_numpy(np.asarray(item))

    try:
        with h5py.File(path, 'r') as file:
            file.visititems(visit)
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f'{path}: cannot be read as .h5 ({" ".join(str(error).split())})') from None
    return found


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


BN = dict(type='BN', eps=1e-4, momentum=0.003)
"""Of tensorflow/tpu's detectors (configs/base_config.py); no variable tells it."""


def resnet_nas_fpn(variables: Mapping[str, Tensor]) -> dict[str, dict]:
    """Configs of ResNet-50 and NAS-FPN with as many cells and channels as the variables have."""
    cells = {name.split('/')[1] for name in variables if name.startswith('fpn_cells/')}
    kernel = variables.get('resample_l3/conv2d/kernel')
    if not cells or kernel is None:
        raise InputError('not variables of a ResNet with NAS-FPN: fpn_cells/… and resample_l3/conv2d/kernel are needed')
    backbone = dict(type='mmlight.TFResNet', depth=50, out_indices=(1, 2, 3), norm_cfg=BN)
    sizes = dict(in_channels=(512, 1024, 2048), out_channels=kernel.shape[-1], stack_times=len(cells))
    return dict(backbone=backbone, neck=dict(type='mmlight.NASFPN', **sizes, norm_cfg=BN))


def mobile_spinenet(variables: Mapping[str, Tensor]) -> dict[str, dict]:
    """Config of the mobile SpineNet whose stem is as wide as the variables'."""
    stem = variables.get('spinenet_mbconv/conv2d/kernel')
    widths = {name: int(BASE_CHANNELS[0] * arch.filter_scale) for name, arch in ARCHITECTURES.items()}
    found = [name for name, width in widths.items() if stem is not None and stem.shape[-1] == width]
    if not found:
        raise InputError('not variables of a mobile SpineNet: spinenet_mbconv/conv2d/kernel is needed')
    return dict(backbone=dict(type='mmlight.SpineNetMBConv', arch=found[0], norm_cfg=BN))


def _place(own: str) -> tuple[str, str, str]:
    """The scope of a module in tensorflow/tpu, and what its convolution and its norm are called there."""
    part, *rest = own.split('.')
    if part == 'neck':
        kind, index = rest[:2]
        if kind == 'laterals':
            return f'resample_l{int(index) + 3}', 'conv2d', 'bn'
        node = int(rest[3])
        return f'fpn_cells/cell_{index}/sub_policy{node}/op_after_combine{node + 5}', 'conv', 'bn'
    return _backbone_scope(rest), 'conv2d', 'batch_normalization'


def _backbone_scope(path: list[str]) -> str:
    if path[0] in ('stem', 'stem_blocks', 'endpoints'):
        return 'spinenet_mbconv'
    if path[:2] == ['blocks', 'nodes']:
        node = int(path[2])
        inner = (
            f'resample_with_sepconv_resample_{node}_{path[4]}'
            if path[3] == 'edges'
            else (f'scale_permuted_block_{node + 2}')
        )
        return f'spinenet_mbconv/sub_policy{node}/{inner}'
    return 'resnet50'


NETWORKS: dict[str, Callable[[Mapping[str, Tensor]], dict[str, dict]]] = {
    'mobile-spinenet': mobile_spinenet,
    'resnet-nas-fpn': resnet_nas_fpn,
}


def _leaves(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Convolutions and norms in the order of TensorFlow's code, which makes a shortcut before its block."""
    if isinstance(module, (nn.Conv2d, nn.BatchNorm2d)):
        yield name, module
    for key, child in sorted(module.named_children(), key=lambda item: item[0] != 'downsample'):
        yield from _leaves(child, f'{name}.{key}')


def convert(variables: Mapping[str, Tensor], network: str) -> tuple[dict[str, Tensor], dict[str, dict]]:
    """Weights of a detector of tensorflow/tpu up to its heads.

    Args:
        variables: Name -> value, kernels ``(H, W, in, out)``; heads, optimizer slots and counters are left out.
        network: A name of :data:`NETWORKS`.

    Returns:
        The state dict with the prefixes ``backbone.`` and ``neck.``, and the configs of these parts.

    Raises:
        InputError: for an unknown network, and variables that are missing or of another shape.
    """
    checks.one_of(NETWORKS, 'TensorFlow weights', network=network)
    parts = NETWORKS[network](variables)
    weights: dict[str, Tensor] = {}
    for part, entries in parts.items():
        with torch.device('meta'):
            module = MODELS.build(entries)
        weights |= _collect(variables, module, part)
        weights[f'{part}.arithmetic'] = encode(arithmetic_of(module))
    return weights, parts


def _collect(variables: Mapping[str, Tensor], module: nn.Module, part: str) -> dict[str, Tensor]:
    counts: Counter[str] = Counter()
    found = {}
    for own, leaf in _leaves(module, part):
        scope, conv, norm = _place(own)
        kind = norm if isinstance(leaf, nn.BatchNorm2d) else conv
        if isinstance(leaf, nn.Conv2d) and leaf.groups > 1:
            kind = f'depthwise_{conv}'
        source = f'{scope}/{kind}'
        number, counts[source] = counts[source], counts[source] + 1
        source += f'_{number}' if number else ''
        theirs = as_state_dict(_of(variables, source))
        for name, wanted in leaf.state_dict().items():
            if name == 'num_batches_tracked':
                continue
            value = theirs.get(f'{source.replace("/", ".")}.{name}')
            if value is None or value.shape != wanted.shape:
                shape = 'missing' if value is None else f'{tuple(value.shape)}'
                raise InputError(f'{source}: {name} is {shape}, {own} needs {tuple(wanted.shape)}')
            found[f'{own}.{name}'] = value
    return found


def _of(variables: Mapping[str, Tensor], layer: str) -> dict[str, Tensor]:
    """The variables of one layer."""
    names = (f'{layer}/{leaf}' for leaf in LEAVES)
    return {name: variables[name] for name in names if name in variables}
