"""Position-sensitive RoI operators in plain PyTorch."""

from mmlight.ops.ps_roi_align import PSRoIAlign
from mmlight.ops.ps_roi_pool import PSRoIPool

__all__ = ['PSRoIAlign', 'PSRoIPool']
