"""Search spaces: each turns a list of categorical decisions into a table and back."""

from mmlight.nas.spaces.base import Decision, DecisionSpace, SearchSpace
from mmlight.nas.spaces.bifpn import BiFPNSpace
from mmlight.nas.spaces.nas_fpn import NASFPNSpace
from mmlight.nas.spaces.nasnet import NASNetSpace
from mmlight.nas.spaces.reallocation import OpSpace, StageSpace
from mmlight.nas.spaces.spinenet import SpineNetSpace

__all__ = [
    'BiFPNSpace',
    'Decision',
    'DecisionSpace',
    'NASFPNSpace',
    'NASNetSpace',
    'OpSpace',
    'SearchSpace',
    'SpineNetSpace',
    'StageSpace',
]
