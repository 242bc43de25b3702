"""What the shapes of a network's weights do not tell: how it pads, which epsilon its norms have, how it pools.

Weights trained with one arithmetic and computed with another load without a word and give other maps: up to 24 % for
MobileNetV2 of TensorFlow under PyTorch's padding. So a network writes its arithmetic into its state dict, and refuses
weights of another.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from mmcv.cnn.bricks import Conv2dAdaptivePadding
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlight import checks
from mmlight.compat import checkpoint
from mmlight.errors import InputError
from mmlight.layers.resample import Conv2dSame, MaxPool2dSame

KEY = 'arithmetic'
PADDINGS = {
    'symmetric': 'convolutions and pools pad both sides alike, as PyTorch does',
    'same': "TensorFlow's SAME in both: Keras, TF-Hub, TF-Slim and the Model Garden",
    'same-pool': 'SAME in the pools, symmetric convolutions: tensorflow/tpu',
}


def conv_cfg_of(name: str, padding: str, allowed: Sequence[str] = ('symmetric', 'same')) -> dict | None:
    """The config of convolutions under a padding.

    Raises:
        InputError: for a padding that is not ``allowed``; ``name`` is the network's.
    """
    checks.one_of(allowed, name, padding=padding)
    return dict(type='mmlight.Conv2dSame') if padding == 'same' else None


def max_pool(padding: str, kernel: int = 3, stride: int = 2) -> nn.MaxPool2d:
    """A max pooling under a padding."""
    if padding == 'symmetric':
        return nn.MaxPool2d(kernel, stride, kernel // 2)
    return MaxPool2dSame(kernel, stride)


def arguments(arithmetic: Mapping[str, Any]) -> str:
    """An arithmetic as it is written in a config."""
    shown = dict(arithmetic)
    eps = shown.pop('eps', None)
    parts = [f'{name}={value!r}' for name, value in shown.items()]
    return ', '.join(parts if eps is None else [*parts, f"norm_cfg=dict(type='BN', eps={eps})"])


def encode(arithmetic: Mapping[str, Any]) -> Tensor:
    """As it stands in a state dict: bytes of JSON."""
    return torch.tensor(list(json.dumps(dict(arithmetic), sort_keys=True).encode()), dtype=torch.uint8)


def decode(record: Tensor) -> dict[str, Any]:
    """The reverse of :func:`encode`.

    Raises:
        InputError: if the record is invalid.
    """
    try:
        found = json.loads(bytes(record.tolist()))
    except (ValueError, TypeError, AttributeError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f'{KEY!r} in the weights is not a valid record of padding and eps')
    return found


def arithmetic_of(module: Any) -> dict[str, Any]:
    """What ``module`` declared by :func:`declare_arithmetic`, with the epsilon of its norms where they share one."""
    eps = {norm.eps for norm in module.modules() if isinstance(norm, _BatchNorm)}
    return dict(module.declared_arithmetic) | ({'eps': eps.pop()} if len(eps) == 1 else {})


def check_arithmetic(module: nn.Module, theirs: Mapping[str, Any], source: str = 'the weights') -> None:
    """Raise if weights of an arithmetic would compute something else in ``module``; what one of them leaves unsaid is
    not compared.

    Raises:
        InputError: with the arguments to use.
    """
    _compare(module, arithmetic_of(module), theirs, source)


def _compare(module: nn.Module, own: Mapping[str, Any], theirs: Mapping[str, Any], source: str = 'the weights') -> None:
    other = {name: value for name, value in theirs.items() if name in own and value != own[name]}
    if other:
        ours = {name: own[name] for name in other}
        raise InputError(
            f'{type(module).__name__}: {source} are of {arguments(other)}, the network is of {arguments(ours)}, which '
            f'computes another function: write {arguments(other)} in the config'
        )


def declare_arithmetic(module: Any, unrecorded: Mapping[str, Any] | None = None, **declared: Any) -> None:
    """Write an arithmetic into the state dicts of ``module`` and refuse weights that say another.

    Args:
        module: A network; its norms' epsilon is read when it is needed.
        unrecorded: Arithmetic of weights that say none, where all such weights have one in common.
        declared: Arguments of its class that change what is computed and not the shapes.
    """
    module.declared_arithmetic, module.unrecorded_arithmetic = declared, unrecorded

    module._register_state_dict_hook(_save)
    module._register_load_state_dict_pre_hook(_load, with_module=True)


def _save(module: nn.Module, state_dict: dict, prefix: str, *_: Any) -> None:
    state_dict[prefix + KEY] = encode(arithmetic_of(module))


def _load(module: Any, state_dict: dict, prefix: str, *_: Any) -> None:
    record = state_dict.pop(prefix + KEY, None)
    if record is not None:
        check_arithmetic(module, decode(record))
    elif module.unrecorded_arithmetic and any(prefix + name in state_dict for name in _own_names(module)):
        check_arithmetic(module, module.unrecorded_arithmetic, 'weights that do not say their padding')


def _own_names(module: nn.Module) -> Iterable[str]:
    return (name for name, _ in module.named_parameters())


def _undeclared(module: nn.Module) -> dict[str, Any]:
    """What can be seen of the arithmetic of another library's network."""
    same = any(isinstance(part, (Conv2dSame, Conv2dAdaptivePadding)) for part in module.modules())
    eps = {norm.eps for norm in module.modules() if isinstance(norm, _BatchNorm)}
    return {'padding': 'same' if same else 'symmetric'} | ({'eps': eps.pop()} if len(eps) == 1 else {})


def check_records(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Compare the records in ``weights`` with networks that declare no arithmetic themselves, as mmdet's.

    Returns:
        The weights without these records.

    Raises:
        InputError: for weights of another padding or epsilon.
    """
    names = [name for name in weights if name.rpartition('.')[2] == KEY]
    if not names:
        return weights
    modules = {name.removeprefix('module.'): module for name, module in model.named_modules()}
    left = weights.copy()
    for name in names:
        module = modules.get(name.removeprefix('module.').rpartition('.')[0])
        if module is not None and not hasattr(module, 'declared_arithmetic'):
            _compare(module, _undeclared(module), decode(left.pop(name)))
    if hasattr(weights, '_metadata'):
        left._metadata = weights._metadata  # type: ignore[attr-defined]
    return left


checkpoint.BEFORE_LOADING.append(check_records)  # of mmengine, which loads `init_cfg`, `load_from` and resumed files
