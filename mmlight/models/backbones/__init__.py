"""Backbones, one file a family."""

from mmlight.models.backbones.dfanet import DFANet, DFAXception
from mmlight.models.backbones.efficientnet_lite import EfficientNetLite
from mmlight.models.backbones.shufflenet_v2 import ShuffleNetV2, SNet
from mmlight.models.backbones.spinenet import SpineNet
from mmlight.models.backbones.spinenet_mbconv import SpineNetMBConv
from mmlight.models.backbones.xception39 import Xception39

__all__ = [
    'DFANet',
    'DFAXception',
    'EfficientNetLite',
    'SNet',
    'ShuffleNetV2',
    'SpineNet',
    'SpineNetMBConv',
    'Xception39',
]
