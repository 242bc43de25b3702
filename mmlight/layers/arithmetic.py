"""What the shapes of a network's weights do not tell: how it pads, which epsilon its norms have, how it pools.

Weights trained with one arithmetic and computed with another load without a word and give other maps: up to 24 % for
MobileNetV2 of TensorFlow under PyTorch's padding. So a network writes its arithmetic into its state dict, and refuses
weights of another.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlight import checks
from mmlight.errors import InputError
from mmlight.layers.resample import MaxPool2dSame

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


def arithmetic_of(module: nn.Module) -> dict[str, Any]:
    """What ``module`` declared by :func:`declare_arithmetic`, with the epsilon of its norms where they share one."""
    eps = {norm.eps for norm in module.modules() if isinstance(norm, _BatchNorm)}
    return dict(module.declared_arithmetic) | ({'eps': eps.pop()} if len(eps) == 1 else {})


def check_arithmetic(module: nn.Module, theirs: Mapping[str, Any], source: str = 'the weights') -> None:
    """Raise if weights of an arithmetic would compute something else in ``module``; what one of them leaves unsaid is
    not compared.

    Raises:
        InputError: with the arguments to use.
    """
    own = arithmetic_of(module)
    other = {name: value for name, value in theirs.items() if name in own and value != own[name]}
    if other:
        ours = {name: own[name] for name in other}
        raise InputError(
            f'{type(module).__name__}: {source} are of {arguments(other)}, the network is of {arguments(ours)}, which '
            f'computes another function: write {arguments(other)} in the config'
        )


def declare_arithmetic(module: nn.Module, **declared: Any) -> None:
    """Write an arithmetic into the state dicts of ``module`` and refuse weights that say another.

    Args:
        module: A network; its norms' epsilon is read when it is needed.
        declared: Arguments of its class that change what is computed and not the shapes.
    """
    module.declared_arithmetic = declared

    module._register_state_dict_hook(_save)
    module._register_load_state_dict_pre_hook(_load, with_module=True)


def _save(module: nn.Module, state_dict: dict, prefix: str, *_) -> None:
    state_dict[prefix + KEY] = encode(arithmetic_of(module))


def _load(module: nn.Module, state_dict: dict, prefix: str, *_) -> None:
    record = state_dict.pop(prefix + KEY, None)
    if record is not None:
        check_arithmetic(module, decode(record))
