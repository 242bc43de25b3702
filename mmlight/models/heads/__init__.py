"""Heads of detectors and segmentors, one file each; those of a host library that is not installed are left out."""

from importlib import import_module
from importlib.util import find_spec

HOSTS = {
    'mmdet': ('efficientdet_head', 'ohem_bbox_heads', 'ps_roi_extractor', 'retina_sepbn_head', 'selective_rpn_head',
              'thundernet_rpn_head'),
    'mmseg': ('dfa_head', 'kept_pixel_sampler'),
}  # fmt: skip

for _host, _modules in HOSTS.items():
    if find_spec(_host):
        for _module in _modules:
            import_module(f'mmlight.models.heads.{_module}')
