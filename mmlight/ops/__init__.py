"""Position-sensitive RoI operators in plain PyTorch."""

from mmlight.ops.ps_roi_align import PSRoIAlign

__all__ = ['PSRoIAlign']
