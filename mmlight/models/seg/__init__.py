"""Decode heads and segmentors that mmseg has no class for."""

from mmlight.models.seg.bisenet import BiSeNet
from mmlight.models.seg.dfa_head import DFAHead
from mmlight.models.seg.fast_encoder_decoder import FastEncoderDecoder

__all__ = ['BiSeNet', 'DFAHead', 'FastEncoderDecoder']
