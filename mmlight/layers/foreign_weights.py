"""Weights of other implementations: renamed when they are loaded, refused if they compute another function.

The key maps stand in ``weight_layouts.py``. The dialects are explained in ``shufflenet_v1.py`` and
``shufflenet_v2.py``.
"""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseModel, BaseModule
from torch import Tensor, nn

from mmlight import checks
from mmlight.compat import checkpoint
from mmlight.errors import InputError
from mmlight.layers.arithmetic import KEY, check_arithmetic, encode
from mmlight.tables.weight_layouts import REFUSED, Layout, layouts

DIALECTS = {'first_block': ('half', 'keep'), 'shuffle_mode': ('interleave', 'parity')}


def describe(dialect: Mapping[str, str]) -> str:
    """The dialect as it is written in a config."""
    return ', '.join(f'{name}={value!r}' for name, value in dialect.items())


def _strip(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of the backbone (and of an image classifier) without the prefixes of the models around it."""
    weights = {name.removeprefix('module.'): tensor for name, tensor in state_dict.items()}
    if any(name.startswith('backbone.') for name in weights):
        weights = {
            name.removeprefix('backbone.'): tensor
            for name, tensor in weights.items()
            if name.startswith(('backbone.', 'head.fc.'))
        }
    return weights


def _find(weights: Mapping[str, Tensor]) -> Layout | None:
    """The layout that a unit's names belong to."""
    for name, reason in REFUSED.items():
        if name in weights:
            raise InputError(f'{name} is of {reason}')
    modules = {name.rpartition('.')[0] for name in weights}
    found = [layout for layout in layouts() if not modules.isdisjoint(layout.units)]
    own = 'dialect' in weights  # tells mmlight's files from mmpretrain's, whose names are the same
    return next((layout for layout in found if (layout.name == 'mmlight') == own), found[0] if found else None)


def _encode(dialect: Mapping[str, str]) -> Tensor:
    return torch.tensor([DIALECTS[name].index(value) for name, value in dialect.items()], dtype=torch.uint8)


def _dialect(layout: Layout, weights: Mapping[str, Tensor]) -> dict[str, str]:
    """The dialect that a file says it has, or that its layout has."""
    if 'dialect' not in weights:
        return layout.dialect
    code, names = weights['dialect'], list(layout.dialect)
    codes = code.flatten().tolist() if isinstance(code, Tensor) else []
    if len(codes) != len(names) or not {0, 1}.issuperset(codes):
        raise InputError(f"'dialect' must be a number 0 or 1 for each of {', '.join(names)}; got {code}")
    return {name: DIALECTS[name][int(number)] for name, number in zip(names, codes, strict=True)}


def _rename(layout: Layout, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under mmlight's names; what the layout does not have keeps its name."""
    modules, renamed = layout.modules, {}
    for name, tensor in weights.items():
        module, _, leaf = name.rpartition('.')
        renamed[f'{modules[module]}.{leaf}' if module in modules else name] = tensor
    if 'fc.weight' in renamed and 'fc.bias' not in renamed:  # the authors' classifiers have none
        renamed['fc.bias'] = renamed['fc.weight'].new_zeros(len(renamed['fc.weight']))
    if layout.arithmetic:
        renamed.setdefault(KEY, encode(layout.arithmetic))
    dialect = _dialect(layout, weights)
    return renamed | ({'dialect': _encode(dialect)} if dialect else {})


def _unknown(weights: Mapping[str, Tensor]) -> InputError:
    known = ', '.join(f'{layout.name} {layout.network}' for layout in layouts())
    first = ', '.join(list(weights)[:3]) or 'no keys at all'
    return InputError(f'no weights in a known layout: found {first}; known layouts are {known}')


def convert(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Layout, dict[str, str]]:
    """Weights of another implementation under mmlight's names.

    Args:
        state_dict: Weights in one of :func:`~mmlight.tables.weight_layouts.layouts`, of the network alone or
            of a model around it (prefixes ``module.``, ``backbone.``). Parts of a detector other than its backbone
            are left out.

    Returns:
        The weights, with their ``dialect`` where there is one and ``fc`` if the source has a classifier; the layout
        that they had; the dialect as arguments of mmlight's class. The tensors are those of the input.

    Raises:
        InputError: for an unknown or unsupported layout, or keys that the layout does not have.
    """
    weights = _strip(state_dict)
    layout = _find(weights)
    if layout is None:
        raise _unknown(weights)
    others = [
        name for name in weights if name not in ('dialect', KEY) and name.rpartition('.')[0] not in layout.modules
    ]
    if others and layout.name != 'mmlight':  # a table of one's own may have more layers
        raise InputError(
            f'{layout.name} layout of {layout.network}: {len(others)} unknown keys, the first {", ".join(others[:3])}'
        )
    return _rename(layout, weights), layout, _dialect(layout, weights)


def accept_foreign_weights(module: nn.Module, network: str, **dialect: str) -> None:
    """When weights are loaded into ``module``, rename those of other implementations, and refuse those of another
    network or dialect. The dialect is stored in the module's state dict.

    Args:
        module: A :class:`~mmlight.models.backbones.staged.StagedBackbone`.
        network: Its name in a :class:`~mmlight.tables.weight_layouts.Layout`.
        dialect: Those of its arguments that the shapes of its weights do not tell.

    Raises:
        InputError: for a dialect that does not exist; later, by whatever loads weights of another dialect.
    """
    for name, value in dialect.items():
        checks.one_of(DIALECTS[name], type(module).__name__, **{name: value})
    if dialect:
        module.register_buffer('dialect', _encode(dialect))

    def adapt(module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_) -> None:
        found = {name[len(prefix) :]: tensor for name, tensor in state_dict.items() if name.startswith(prefix)}
        if not found:
            return
        try:
            weights = _checked(module, found, not prefix, network, dialect)
        except InputError as error:
            name = f'{type(module).__name__}: '
            raise InputError(name + str(error).removeprefix(name)) from None
        for name in found:
            del state_dict[prefix + name]
        state_dict.update({prefix + name: tensor for name, tensor in weights.items()})

    module._register_load_state_dict_pre_hook(adapt, with_module=True)


def renamed(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as the parts of ``model`` make them their own when they are loaded, those of other layouts."""
    found = dict(weights)
    for name, module in model.named_modules():
        for hook in module._load_state_dict_pre_hooks.values():
            hook(found, f'{name}.' if name else '', {}, False, [], [], [])
    return found


def check_layout(module: nn.Module, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """Refuse initial weights that fill less than half of a network's part: mmengine only warns, and training would
    start from nothing. An empty file is somebody's wish; of whole models :mod:`mmlight.runtime.checkpoint` judges.

    Returns:
        ``state_dict``.

    Raises:
        InputError: with the first names on both sides.
    """
    if not state_dict or not isinstance(module, BaseModule) or isinstance(module, BaseModel):
        return state_dict
    own = {name: x.shape for name, x in module.state_dict().items() if x.is_floating_point()}
    given = {name: x.shape for name, x in renamed(module, state_dict).items()}
    fitting = sum(given.get(name) == shape for name, shape in own.items())
    if 2 * fitting < len(own):
        missing = [name for name, shape in own.items() if given.get(name) != shape]
        unread = [name for name, shape in given.items() if own.get(name) != shape]
        inner = next((name[: name.index('backbone.') + 9] for name in state_dict if 'backbone.' in name), None)
        hint = f'write prefix={inner!r} in its init_cfg, or see tools/model_converters' if inner else ''
        raise InputError(
            f'{type(module).__name__}: the file is of another network or layout, {fitting} of the {len(own)} weights '
            f'needed are in it: found {_shown(unread, given)}; needed are {_shown(missing, own)}; '
            f'{hint or "tools/model_converters has converters"}'
        )
    return state_dict


def _shown(names: list[str], shapes: Mapping[str, torch.Size]) -> str:
    return ', '.join(f'{name} {tuple(shapes[name])}' for name in names[:2])


checkpoint.BEFORE_LOADING.append(check_layout)  # of mmengine, which loads `init_cfg`


def _checked(
    module: Any, found: dict[str, Tensor], alone: bool, network: str, dialect: dict[str, str]
) -> dict[str, Tensor]:
    """What ``module`` can load of ``found``.

    Weights behind the last layer that the network has are dropped. Whatever else does not fit stays, for the loader
    to report as it always does.
    """
    weights = _strip(found) if alone else found
    layout = _find(weights)
    if layout is None:
        if alone and module.state_dict().keys().isdisjoint(weights):  # nothing would be loaded
            raise _unknown(found)
        return found
    if layout.network != network:
        raise InputError(f'the weights are of {layout.network} ({layout.name} layout), the network is {network}')
    theirs = _dialect(layout, weights)
    if theirs != dialect:
        raise InputError(
            f'the weights ({layout.name} layout) are of {describe(theirs)}, the network is of {describe(dialect)}, '
            f'which computes another function: write {describe(theirs)} in the config'
        )
    if KEY not in found and layout.arithmetic:
        check_arithmetic(module, layout.arithmetic, f'the weights ({layout.name} layout)')
    built = len(module.layers)

    def behind(name: str) -> bool:
        part, _, rest = name.partition('.')
        number = rest.partition('.')[0]
        return (part == 'layers' and number.isdigit() and int(number) >= built) or (part == 'fc' and module.fc is None)

    return {name: tensor for name, tensor in _rename(layout, weights).items() if not behind(name)}
