"""Necks, one file each."""

from mmlight.models.necks.thundernet_neck import ThunderNetNeck

__all__ = ['ThunderNetNeck']
