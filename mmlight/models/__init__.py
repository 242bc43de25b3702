"""Networks. Detection and segmentation parts are imported only where mmdet or mmseg is installed."""

from importlib.util import find_spec

from mmlight.models import backbones, layers, necks

if find_spec('mmdet'):
    from mmlight.models import det
if find_spec('mmseg'):
    from mmlight.models import seg

__all__ = ['backbones', 'layers', 'necks'] + [name for name in ('det', 'seg') if name in globals()]
