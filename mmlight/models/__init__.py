"""Networks. Parts that subclass mmdet's or mmseg's are imported only where these are installed."""

from importlib import import_module
from importlib.util import find_spec

from mmlight.models import backbones, heads, necks

__all__ = ['backbones', 'heads', 'necks']

if find_spec('mmseg'):
    import_module('mmlight.models.segmentors')
    __all__.append('segmentors')
