"""Key maps: how other implementations of the backbones name their modules, and in which dialect they compute.

The implementations are those of torchvision, timm, mmpretrain (mmseg's MobileNetV2 has the same names), mmdet, megvii's
ShuffleNet-Series, Yolo-FastestV2, Keras, and the SNet release of arXiv 1903.11752's authors.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmlight.registry import WEIGHTS

SHUFFLE_UNITS = (4, 8, 4)  # of the three stages
MOBILENET_V2_UNITS = (1, 2, 3, 4, 3, 3, 1)

RGB_NORMALISED = {'mean': [123.675, 116.28, 103.53], 'std': [58.395, 57.12, 57.375], 'bgr_to_rgb': True}
SCALED_BGR = {'mean': [0.0, 0.0, 0.0], 'std': [255.0, 255.0, 255.0], 'bgr_to_rgb': False}
RAW_BGR = {'mean': [0.0, 0.0, 0.0], 'std': [1.0, 1.0, 1.0], 'bgr_to_rgb': False}

PAPER_V2 = {'first_block': 'half', 'shuffle_mode': 'interleave'}
AUTHORS_V2 = {'first_block': 'keep', 'shuffle_mode': 'parity'}
PAPER_V1 = {'shuffle_mode': 'interleave'}
AUTHORS_V1 = {'shuffle_mode': 'parity'}

Names = dict[str, str]


@dataclass(frozen=True)
class Layout:
    """Names of an implementation's modules with weights.

    Attributes:
        name: Whose implementation.
        network: Of which network.
        units: Names in the units, there -> in mmlight. They tell the layout from the others.
        others: The other names, there -> in mmlight.
        dialect: Arguments of mmlight's class that compute the same function.
        image: Arguments of the data preprocessor that fit the published weights.
        arithmetic: What the published weights are computed with; see ``layers/arithmetic.py``.
    """

    name: str
    network: str
    units: dict[str, str]
    others: dict[str, str]
    dialect: dict[str, str] = field(default_factory=dict)
    image: dict | None = None
    arithmetic: dict = field(default_factory=dict)

    @property
    def modules(self) -> dict[str, str]:
        return self.units | self.others


def _modules(*names: str) -> list[str]:
    """Convolution and norm of each ConvModule."""
    return [f'{name}.{leaf}' for name in names for leaf in ('conv', 'bn')]


def _members(name: str, numbers: Iterable[int]) -> list[str]:
    """Convolutions and norms in one ``nn.Sequential``, which counts activations too."""
    return [f'{name}.{number}' for number in numbers]


def _units(counts: Sequence[int], pattern: str, names: Sequence[str], own: Sequence[str]) -> dict[str, str]:
    """Names of all units. ``pattern`` may have the ``stage`` from 0, from 1 (``next``) or 2 (``paper``), the ``unit``
    from 0, and its number over all stages from 0 (``flat``) or 1 (``after``)."""
    found = {}
    for stage, count in enumerate(counts):
        for unit in range(count):
            flat = sum(counts[:stage]) + unit
            source = pattern.format(stage=stage, next=stage + 1, paper=stage + 2, unit=unit, flat=flat, after=flat + 1)
            for there, here in zip(names, own, strict=True):
                found[f'{source}.{there}'] = f'layers.{stage}.{unit}.{here}'
    return found


def _others(stem: Sequence[str], final: Sequence[str], final_layer: int, *classifiers: str) -> dict[str, str]:
    names = dict(zip(stem, _modules('conv1'), strict=True))
    names |= zip(final, _modules(f'layers.{final_layer}'), strict=bool(final))
    return names | dict.fromkeys(('fc', *classifiers), 'fc')


STEM, MEGVII_STEM, MEGVII_FINAL = _modules('conv1'), _members('first_conv', (0, 1)), _members('conv_last', (0, 1))
SHORT, LONG = (0, 1, 2, 3), (0, 1, 3, 4, 5, 6)  # depthwise, pointwise; pointwise with ReLU before them

V2_UNIT = _modules('branch1.0', 'branch1.1', 'branch2.0', 'branch2.1', 'branch2.2')
V1_UNIT = _modules('compress', 'depthwise', 'expand')
XCEPTION_UNIT = _modules(*(f'branch.{i}' for i in range(6)))
MOBILE_UNIT = _modules('expand_conv', 'depthwise_conv', 'linear_conv')


def _v2(
    name: str, pattern: str, branch1: str, branch2: str, others: Names, dialect: Names, image: dict | None
) -> Layout:
    names = [*_members(branch1, SHORT), *_members(branch2, LONG)]
    return Layout(name, 'ShuffleNetV2', _units(SHUFFLE_UNITS, pattern, names, V2_UNIT), others, dialect, image)


def _own(network: str, unit: Sequence[str], dialect: dict, name: str = 'mmlight', image: dict | None = None) -> Layout:
    """A layout with the names that mmlight has."""
    counts, final = (MOBILENET_V2_UNITS, 7) if network == 'MobileNetV2' else (SHUFFLE_UNITS, 3)
    units = _units(counts, 'layers.{stage}.{unit}', unit, unit)
    return Layout(name, network, units, _others(STEM, _modules(f'layers.{final}'), final, 'head.fc'), dialect, image)


def _v1(name: str, pattern: str, names: Sequence[str], others: Names, dialect: Names, image: dict | None) -> Layout:
    return Layout(name, 'ShuffleNetV1', _units(SHUFFLE_UNITS, pattern, names, V1_UNIT), others, dialect, image)


def _mobile(
    name: str,
    pattern: str,
    first: Sequence[str],
    names: Sequence[str],
    others: Names,
    image: dict | None,
    **arithmetic: Any,
) -> Layout:
    """The first unit has no expansion."""
    units = _units(MOBILENET_V2_UNITS, pattern, names, MOBILE_UNIT)
    plain = {there: here for there, here in units.items() if not here.startswith('layers.0.')}
    plain |= _units((1,), pattern, first, MOBILE_UNIT[2:])
    return Layout(name, 'MobileNetV2', plain, others, {}, image, {'padding': 'symmetric', **arithmetic})


def _keras() -> Layout:
    """Keras' MobileNetV2, whose unit 0 has no number."""
    names = [f'{part}{norm}' for part in ('expand', 'depthwise', 'project') for norm in ('', '_BN')]
    units = {}
    for there, here in _units(MOBILENET_V2_UNITS, 'block_{flat}', names, MOBILE_UNIT).items():
        if not here.startswith('layers.0.0.expand_conv'):
            units[there.replace('block_0.', 'expanded_conv.').replace('.', '_')] = here
    others = _others(('Conv1', 'bn_Conv1'), ('Conv_1', 'Conv_1_bn'), 7, 'predictions')
    scaled = {'mean': [127.5] * 3, 'std': [127.5] * 3, 'bgr_to_rgb': True}
    return Layout('keras', 'MobileNetV2', units, others, {}, scaled, {'padding': 'same', 'eps': 1e-3})


MEGVII_V2 = _others(MEGVII_STEM, MEGVII_FINAL, 3, 'classifier.0')
TORCHVISION_V2 = _others(_members('conv1', (0, 1)), _members('conv5', (0, 1)), 3)
YOLO_FASTEST_V2 = _others(MEGVII_STEM, (), 3)
TIMM_MOBILE = _others(('conv_stem', 'bn1'), ('conv_head', 'bn2'), 7, 'classifier')
TORCHVISION_MOBILE = _others(_members('features.0', (0, 1)), _members('features.18', (0, 1)), 7, 'classifier.1')
MM_MOBILE = _others(STEM, _modules('conv2'), 7, 'head.fc')
MM_V1 = _modules('g_conv_1x1_compress', 'depthwise_conv3x3_bn', 'g_conv_1x1_expand')
MEGVII_V1 = [*_members('branch_main_1', (0, 1, 3, 4)), *_members('branch_main_2', (0, 1))]


@WEIGHTS.register_module()
def shufflenet_v2() -> list[Layout]:
    """ShuffleNetV2 and SNet."""
    return [
        _v2('torchvision', 'stage{paper}.{unit}', 'branch1', 'branch2', TORCHVISION_V2, PAPER_V2, RGB_NORMALISED),
        _own('ShuffleNetV2', V2_UNIT, PAPER_V2, 'mmpretrain', RGB_NORMALISED),  # mmlight has taken over its names
        _own('ShuffleNetV2', V2_UNIT, PAPER_V2),
        _v2('megvii', 'features.{flat}', 'branch_proj', 'branch_main', MEGVII_V2, AUTHORS_V2, RAW_BGR),
        _v2('official SNet', 'stage.{stage}.{unit}', 'branch_left', 'branch', MEGVII_V2, AUTHORS_V2, RAW_BGR),
        _v2(
            'Yolo-FastestV2',
            'stage{paper}.{unit}',
            'branch_proj',
            'branch_main',
            YOLO_FASTEST_V2,
            AUTHORS_V2,
            SCALED_BGR,
        ),
    ]


@WEIGHTS.register_module()
def shufflenet_v1() -> list[Layout]:
    """ShuffleNetV1."""
    return [
        _v1('mmpretrain', 'layers.{stage}.{unit}', MM_V1, _others(STEM, (), 3, 'head.fc'), PAPER_V1, RGB_NORMALISED),
        _v1('megvii', 'features.{flat}', MEGVII_V1, _others(MEGVII_STEM, (), 3, 'classifier.0'), AUTHORS_V1, RAW_BGR),
        _own('ShuffleNetV1', V1_UNIT, PAPER_V1),
    ]


@WEIGHTS.register_module()
def xception_star() -> list[Layout]:
    """Xception*."""
    return [
        _own('XceptionStar', XCEPTION_UNIT, {}),
    ]


@WEIGHTS.register_module()
def mobilenet_v2() -> list[Layout]:
    """MobileNetV2."""
    return [
        _mobile(
            'torchvision',
            'features.{after}',
            [*_members('conv.0', (0, 1)), *_members('conv', (1, 2))],
            [*_members('conv.0', (0, 1)), *_members('conv.1', (0, 1)), *_members('conv', (2, 3))],
            TORCHVISION_MOBILE,
            RGB_NORMALISED,
            eps=1e-5,
        ),
        _mobile(
            'mmpretrain',
            'layer{next}.{unit}',
            _modules('conv.0', 'conv.1'),
            _modules('conv.0', 'conv.1', 'conv.2'),
            MM_MOBILE,
            RGB_NORMALISED,
            eps=1e-5,
        ),
        _mobile(
            'timm',
            'blocks.{stage}.{unit}',
            ['conv_dw', 'bn1', 'conv_pw', 'bn2'],
            ['conv_pw', 'bn1', 'conv_dw', 'bn2', 'conv_pwl', 'bn3'],
            TIMM_MOBILE,
            RGB_NORMALISED,
            eps=1e-5,
        ),
        _mobile('mmdet', 'layer{next}.{unit}', MOBILE_UNIT[2:], MOBILE_UNIT, MM_MOBILE, None),
        _own('MobileNetV2', MOBILE_UNIT, {}),
        _keras(),
    ]


def layouts() -> list[Layout]:
    """All that are registered, family by family."""
    WEIGHTS.import_from_location()
    return [layout for family in WEIGHTS.module_dict.values() for layout in family()]


REFUSED = {  # a key of a unit -> why the layout cannot be used
    'stage1.0.branch_main.0.weight': "the layout of DayBreak's SNet, which shuffles before the split and so orders "
    'the channels of every stage in another way than both shuffle modes',
}
