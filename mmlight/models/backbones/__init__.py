"""Backbones, one file a family."""

from mmlight.models.backbones.shufflenet_v2 import ShuffleNetV2, SNet

__all__ = ['SNet', 'ShuffleNetV2']
