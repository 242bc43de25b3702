"""Weights for networks that were not trained, with which a comparison of outputs means something."""

from __future__ import annotations

import torch
from mmengine.model import BaseModel
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlight.deploy.graphs import Normalize

GRAINS = (1, 4, 16, 64)
"""Pixels from one random value to the next, in the images that norms are measured on."""


@torch.no_grad()
def liven(model: BaseModel, size: tuple[int, int], seed: int = 0) -> None:
    """Give a detector or segmentor random weights of which scores, boxes and labels differ from place to place.

    Initial weights do not: last layers begin near 0, so that all scores are equal and rounding alone decides which box
    is best. Here convolutions and linear layers keep the variance, and norms know that of their inputs.

    Args:
        model: in evaluation mode, and left in it.
        size: (height, width) of the images that the norms are measured on.
        seed: of weights and images.
    """
    generator = torch.Generator().manual_seed(seed)
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for name, module in model.named_modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            # small deltas: of boxes that are all over the image many overlap by just the threshold
            gain = 0.1 if 'reg' in name else 1.0
            fan_in = module.weight[0].numel()
            module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * gain * fan_in**-0.5)
            if module.bias is not None:
                module.bias.zero_()
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    grains = [torch.rand(2, 3, *(-(-side // grain) for side in size), generator=generator) for grain in GRAINS]
    images = torch.cat([nn.functional.interpolate(grain, size, mode='bilinear') for grain in grains])
    try:
        maps = model.extract_feat(Normalize(model.data_preprocessor)(255 * images))
        for name in ('rpn_head', 'bbox_head', 'decode_head'):
            if isinstance(getattr(model, name, None), nn.Module):
                getattr(model, name)(maps)
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.eval()
