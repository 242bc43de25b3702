"""The backbones that converted weights can be of, found by the shapes of their tensors."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mmlight.errors import InputError
from mmlight.layers.arithmetic import KEY
from mmlight.models.backbones.shufflenet_v1 import STAGES
from mmlight.models.backbones.shufflenet_v2 import SHUFFLENET_V2, SNETS
from mmlight.models.backbones.xception_star import STEMS
from mmlight.registry import MODELS

V2_VARIANTS: tuple[dict[str, Any], ...] = ({}, {'kernel_size': 5}, {'leading_depthwise': True})
MOBILENET_V2_WIDTHS = (0.35, 0.5, 0.75, 1.0, 1.4)
SHUFFLENET_V1_WIDTHS = (0.25, 0.5, 1.0, 1.5, 2.0)
CANDIDATES = {  # family -> config entries of the networks that its weights can be of
    'ShuffleNetV2': [{'type': 'mmlight.SNet', 'arch': arch} for arch in SNETS]
    + [
        {'type': 'mmlight.ShuffleNetV2', 'widen_factor': width} | variant
        for width in SHUFFLENET_V2
        for variant in V2_VARIANTS
    ],
    'ShuffleNetV1': [
        {'type': 'mmlight.ShuffleNetV1', 'groups': groups, 'widen_factor': width}
        for groups in STAGES
        for width in SHUFFLENET_V1_WIDTHS
    ],
    'XceptionStar': [{'type': 'mmlight.XceptionStar', 'widen_factor': width} for width in STEMS],
    'MobileNetV2': [{'type': 'mmlight.MobileNetV2', 'widen_factor': width} for width in MOBILENET_V2_WIDTHS],
}


def network(weights: Mapping[str, Tensor], family: str, dialect: dict[str, str]) -> dict:
    """The config entries of the network that has these shapes.

    Raises:
        InputError: if there is none.
    """
    found = {name: tensor.shape for name, tensor in weights.items() if not name.startswith(('fc.', KEY))}
    for entries in CANDIDATES[family]:
        net = MODELS.build({**entries, **dialect, 'num_classes': 1})
        shapes = {name: tensor.shape for name, tensor in net.state_dict().items()}
        if found.items() <= shapes.items():
            return entries
    raise InputError(f'these weights have the shapes of no {family} here')
