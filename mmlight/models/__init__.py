"""Networks. Detection and segmentation parts are imported only where mmdet or mmseg is installed."""

from importlib import import_module
from importlib.util import find_spec

from mmlight.models import backbones, layers, necks

__all__ = ['backbones', 'layers', 'necks']

for _host, _part in (('mmdet', 'det'), ('mmseg', 'seg')):
    if find_spec(_host):
        import_module(f'mmlight.models.{_part}')
        __all__.append(_part)
