"""Decode heads and segmentors that mmseg has no class for."""

from mmlight.models.seg.dfa_head import DFAHead

__all__ = ['DFAHead']
