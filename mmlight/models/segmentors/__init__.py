"""Segmentors that mmseg has no class for."""

from mmlight.models.segmentors.bisenet import BiSeNet
from mmlight.models.segmentors.fast_encoder_decoder import FastEncoderDecoder

__all__ = ['BiSeNet', 'FastEncoderDecoder']
