"""Bricks that two or more models use."""

from mmlight.ops import PSRoIAlign
from mmlight.registry import MODELS

MODELS.register_module(module=PSRoIAlign)

__all__ = ['PSRoIAlign']
