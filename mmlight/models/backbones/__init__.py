"""Backbones, one file a family."""

from importlib import import_module
from importlib.util import find_spec

from mmlight.models.backbones.dfanet import DFANet, DFAXception
from mmlight.models.backbones.efficientnet_lite import EfficientNetLite
from mmlight.models.backbones.mobilenet_v2 import MobileNetV2
from mmlight.models.backbones.nasnet import NASNet
from mmlight.models.backbones.shufflenet_v1 import ShuffleNetV1
from mmlight.models.backbones.shufflenet_v2 import ShuffleNetV2, SNet
from mmlight.models.backbones.spinenet import SpineNet
from mmlight.models.backbones.spinenet_mbconv import SpineNetMBConv
from mmlight.models.backbones.xception39 import Xception39
from mmlight.models.backbones.xception_star import XceptionStar

__all__ = [
    'DFANet',
    'DFAXception',
    'EfficientNetLite',
    'MobileNetV2',
    'NASNet',
    'SNet',
    'ShuffleNetV1',
    'ShuffleNetV2',
    'SpineNet',
    'SpineNetMBConv',
    'Xception39',
    'XceptionStar',
]

if find_spec('mmdet'):  # these subclass mmdet's networks
    for _module in ('cr_backbones', 'cr_supernets', 'efficientnet', 'resnet10', 'tf_resnet'):
        import_module(f'mmlight.models.backbones.{_module}')
