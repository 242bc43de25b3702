"""Weights of other ShuffleNetV2 implementations: key maps, and the check of their dialect.

Every network here has 4, 8 and 4 units, so that a layout's key map can be written out in full. The maps and the
dialects: arXiv 1807.11164's implementations in torchvision, mmpretrain and megvii's ShuffleNet-Series, and the SNet
release of arXiv 1903.11752's authors. The dialects themselves are explained in ``shufflenet_v2.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mmlight.errors import InputError

FIRST_BLOCKS = ('half', 'keep')
SHUFFLE_MODES = ('interleave', 'parity')
UNITS = (4, 8, 4)  # of the three stages

RGB_NORMALISED = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375], 'bgr_to_rgb': True}
RAW_BGR = {'mean': [0.0, 0.0, 0.0], 'std': [1.0, 1.0, 1.0], 'bgr_to_rgb': False}

# Names of the convolutions and batch norms, in the order of the forward pass.
MODULES = {  # a stack of ConvModules
    'stem': ('conv', 'bn'),
    'branch1': ('0.conv', '0.bn', '1.conv', '1.bn'),
    'branch2': ('0.conv', '0.bn', '1.conv', '1.bn', '2.conv', '2.bn'),
}
SEQUENCE = {  # one nn.Sequential that counts the ReLUs too
    'stem': ('0', '1'),
    'branch1': ('0', '1', '2', '3'),
    'branch2': ('0', '1', '3', '4', '5', '6'),
}
CLASSIFIERS = ('fc', 'head.fc', 'classifier.0')


@dataclass(frozen=True)
class Layout:
    """How an implementation names its modules, which dialect its networks are and what images they were trained on."""

    name: str
    stem: str
    unit: str  # of 0-based {stage} and {unit}, the paper's stage {number}, the unit {flat} counted over all stages
    branch1: str
    branch2: str
    final: str  # the last 1x1 convolution
    inner: dict[str, tuple[str, ...]]
    dialect: tuple[str, str] = ('half', 'interleave')
    image: dict | None = None  # arguments of the data preprocessor that fit the published weights

    def units(self) -> dict[str, str]:
        """Names of the convolutions and batch norms in the units, here -> in mmlight."""
        names = {}
        for stage, count in enumerate(UNITS):
            for unit in range(count):
                source = self.unit.format(stage=stage, unit=unit, number=stage + 2, flat=sum(UNITS[:stage]) + unit)
                for branch, own in (('branch1', self.branch1), ('branch2', self.branch2)):
                    for old, new in zip(self.inner[branch], MODULES[branch], strict=True):
                        names[f'{source}.{own}.{old}'] = f'layers.{stage}.{unit}.{branch}.{new}'
        return names

    def modules(self) -> dict[str, str]:
        """Names of all modules with weights, here -> in mmlight."""
        names = self.units() | dict.fromkeys(CLASSIFIERS, 'fc')
        for source, target in ((self.stem, 'conv1'), (self.final, 'layers.3')):
            for old, new in zip(self.inner['stem'], MODULES['stem'], strict=True):
                names[f'{source}.{old}'] = f'{target}.{new}'
        return names


MMLIGHT = Layout('mmlight', 'conv1', 'layers.{stage}.{unit}', 'branch1', 'branch2', 'layers.3', MODULES)
LAYOUTS = (
    Layout(
        'torchvision', 'conv1', 'stage{number}.{unit}', 'branch1', 'branch2', 'conv5', SEQUENCE, image=RGB_NORMALISED
    ),
    Layout(  # the names that mmlight has taken over; without a dialect the file is mmpretrain's
        'mmpretrain', MMLIGHT.stem, MMLIGHT.unit, 'branch1', 'branch2', MMLIGHT.final, MODULES, image=RGB_NORMALISED
    ),
    Layout(
        'megvii',
        'first_conv',
        'features.{flat}',
        'branch_proj',
        'branch_main',
        'conv_last',
        SEQUENCE,
        ('keep', 'parity'),
        RAW_BGR,
    ),
    Layout(
        'official SNet',
        'first_conv',
        'stage.{stage}.{unit}',
        'branch_left',
        'branch',
        'conv_last',
        SEQUENCE,
        ('keep', 'parity'),
        RAW_BGR,
    ),
)
REFUSED = {  # a key of a unit -> why the layout cannot be used
    'stage1.0.branch_main.0.weight': "the layout of DayBreak's SNet, which shuffles before the split and so orders "
    'the channels of every stage in another way than both shuffle modes',
}


def describe(first_block: str, shuffle_mode: str) -> str:
    """The dialect as it is written in a config."""
    return f'first_block={first_block!r}, shuffle_mode={shuffle_mode!r}'


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
    if 'dialect' in weights:
        return MMLIGHT
    modules = {name.rpartition('.')[0] for name in weights}
    return next((layout for layout in LAYOUTS if not modules.isdisjoint(layout.units())), None)


def _dialect(layout: Layout, weights: Mapping[str, Tensor]) -> tuple[str, str]:
    """The dialect that a file says it has, or that its layout has."""
    if 'dialect' not in weights:
        return layout.dialect
    code = weights['dialect']
    if not isinstance(code, Tensor) or code.numel() != 2 or not all(i in (0, 1) for i in code.flatten().tolist()):
        raise InputError(f"'dialect' must be two numbers, each 0 or 1, got {code}")
    first, shuffle = code.flatten().tolist()
    return FIRST_BLOCKS[int(first)], SHUFFLE_MODES[int(shuffle)]


def _encode(first_block: str, shuffle_mode: str) -> Tensor:
    return torch.tensor([FIRST_BLOCKS.index(first_block), SHUFFLE_MODES.index(shuffle_mode)], dtype=torch.uint8)


def _rename(layout: Layout, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under mmlight's names; what the layout does not have keeps its name."""
    modules, renamed = layout.modules(), {}
    for name, tensor in weights.items():
        module, _, leaf = name.rpartition('.')
        renamed[f'{modules[module]}.{leaf}' if module in modules else name] = tensor
    if 'fc.weight' in renamed and 'fc.bias' not in renamed:  # the authors' classifiers have none
        renamed['fc.bias'] = renamed['fc.weight'].new_zeros(len(renamed['fc.weight']))
    return renamed | {'dialect': _encode(*_dialect(layout, weights))}


def _unknown(weights: Mapping[str, Tensor]) -> InputError:
    known = ', '.join([layout.name for layout in LAYOUTS] + [MMLIGHT.name])
    first = ', '.join(list(weights)[:3]) or 'no keys at all'
    return InputError(f'no ShuffleNetV2 weights in a known layout: found {first}; known layouts are {known}')


def layout_of(state_dict: Mapping[str, Tensor]) -> Layout:
    """The layout that :func:`convert` reads ``state_dict`` in. Raises as it does."""
    weights = _strip(state_dict)
    layout = _find(weights)
    if layout is None:
        raise _unknown(weights)
    return layout


def convert(state_dict: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str, str]:
    """Weights of another implementation under mmlight's names.

    Args:
        state_dict: Weights in the layout of torchvision, mmpretrain, megvii, the SNet release or mmlight, of the
            network alone or of a model around it (prefixes ``module.``, ``backbone.``). Parts of a detector other
            than its backbone are left out.

    Returns:
        The weights, with their ``dialect`` and, if the source has a classifier, ``fc``; ``first_block``;
        ``shuffle_mode``. The tensors are those of the input.

    Raises:
        InputError: for an unknown or unsupported layout, or keys that the layout does not have.
    """
    layout, weights = layout_of(state_dict), _strip(state_dict)
    modules = layout.modules()
    others = [name for name in weights if name != 'dialect' and name.rpartition('.')[0] not in modules]
    if others and layout is not MMLIGHT:  # a table of one's own may have more layers
        raise InputError(f'{layout.name} layout: {len(others)} unknown keys, the first {", ".join(others[:3])}')
    return _rename(layout, weights), *_dialect(layout, weights)


def add_dialect_check(module: nn.Module, first_block: str, shuffle_mode: str) -> None:
    """Store the dialect of a network in its state dict; when weights are loaded, rename those of other
    implementations and refuse those of the other dialect.

    Raises:
        InputError: for a dialect that does not exist; later, by whatever loads weights of another dialect.
    """
    name = type(module).__name__
    if first_block not in FIRST_BLOCKS:
        raise InputError(f'{name}: first_block must be one of {FIRST_BLOCKS}, got {first_block!r}')
    if shuffle_mode not in SHUFFLE_MODES:
        raise InputError(f'{name}: shuffle_mode must be one of {SHUFFLE_MODES}, got {shuffle_mode!r}')
    module.register_buffer('dialect', _encode(first_block, shuffle_mode))
    module._register_load_state_dict_pre_hook(_adapt, with_module=True)


def _adapt(module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_) -> None:
    """Hook of ``load_state_dict``: turn the network's part of ``state_dict``, in place, into what it can load.

    Weights behind the last layer that the network has are dropped. Whatever else does not fit stays, for the loader
    to report as it always does.
    """
    found = {name[len(prefix) :]: tensor for name, tensor in state_dict.items() if name.startswith(prefix)}
    if not found:
        return
    kind = type(module).__name__
    try:
        weights = found if prefix else _strip(found)
        layout = _find(weights)
        if layout is None:
            if not prefix and module.state_dict().keys().isdisjoint(weights):  # nothing would be loaded
                raise _unknown(found)
            return
        dialect, own = _dialect(layout, weights), _dialect(MMLIGHT, {'dialect': module.dialect})
    except InputError as error:
        raise InputError(f'{kind}: {error}') from None
    if dialect != own:
        raise InputError(
            f'{kind}: the weights ({layout.name} layout) are of {describe(*dialect)}, the network is of '
            f'{describe(*own)}, which computes another function: write {describe(*dialect)} in the config'
        )
    weights = _rename(layout, weights)
    behind = tuple(f'layers.{i}.' for i in range(len(module.layers), len(UNITS) + 1))
    if module.fc is None:
        behind += ('fc.',)
    for name in found:
        del state_dict[prefix + name]
    state_dict.update({prefix + name: tensor for name, tensor in weights.items() if not name.startswith(behind)})
