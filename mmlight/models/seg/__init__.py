"""Decode heads and segmentors that mmseg has no class for."""
