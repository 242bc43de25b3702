"""Focal loss (arXiv 1708.02002, Eq. 5), sigmoid per element and softmax per sample, and the gradients."""

from __future__ import annotations

import torch
from torch import Tensor

_TINY = torch.finfo(torch.float32).tiny  # smallest argument of a logarithm, as in mmcv


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, *, gamma: float, alpha: float
) -> None:
    """Fill ``output`` (N, C) with the loss of every class of every sample.

    Args:
        input: (N, C) logits.
        target: (N,) class of each sample; C or more is background.
        weight: (C,) factor of each sample by its class, or empty; background has 1.
        output: (N, C).
        gamma: exponent of the modulating factor.
        alpha: weight of the positives, 1 - alpha that of the negatives.
    """
    p, positive, factor = _prepare(input, target, weight)
    q = 1 - p
    loss_positive = -alpha * q**gamma * p.clamp(min=_TINY).log()
    loss_negative = -(1 - alpha) * p**gamma * q.clamp(min=_TINY).log()
    output.copy_(torch.where(positive, loss_positive, loss_negative) * factor)


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, *, gamma: float, alpha: float
) -> None:
    """Fill ``grad_input`` (N, C) with the derivative of the summed loss; arguments as in the forward."""
    p, positive, factor = _prepare(input, target, weight)
    q = 1 - p
    grad_positive = -alpha * q**gamma * (q - gamma * p * p.clamp(min=_TINY).log())
    grad_negative = -(1 - alpha) * p**gamma * (gamma * q * q.clamp(min=_TINY).log() - p)
    grad_input.copy_(torch.where(positive, grad_positive, grad_negative) * factor)


def _prepare(input: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor | float]:
    logits = input if input.dtype == torch.float64 else input.float()
    classes = torch.arange(input.size(1), device=input.device)
    factor: Tensor | float = 1.0
    if weight.numel():
        # mmcv reads past the end of the weights for the background class
        with_background = torch.cat([weight.to(logits.dtype), weight.new_ones(1, dtype=logits.dtype)])
        factor = with_background[target.clamp(max=weight.numel())][:, None]
    return logits.sigmoid(), target[:, None] == classes, factor


def softmax_focal_loss_forward(
    softmax: Tensor, target: Tensor, weight: Tensor, output: Tensor, *, gamma: float, alpha: float
) -> None:
    """Fill ``output`` (N,); ``softmax`` (N, C) are probabilities, a negative target costs nothing."""
    p, factor = _chosen(softmax, target, weight)
    output.copy_(-alpha * (1 - p) ** gamma * p.clamp(min=_TINY).log() * factor)


def softmax_focal_loss_backward(
    softmax: Tensor, target: Tensor, weight: Tensor, buffer: Tensor, grad_input: Tensor, *, gamma: float, alpha: float
) -> None:
    """Fill ``grad_input`` (N, C) with the derivative by the logits."""
    p, factor = _chosen(softmax, target, weight)
    slope = alpha * (gamma * (1 - p) ** (gamma - 1) * p * p.clamp(min=_TINY).log() - (1 - p) ** gamma) * factor
    positive = target[:, None] == torch.arange(softmax.size(1), device=softmax.device)
    grad_input.copy_(slope[:, None] * (positive.to(p.dtype) - softmax))


def _chosen(softmax: Tensor, target: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Probability of each sample's class, and the sample's weight."""
    label = target.clamp(min=0)
    p = softmax.gather(1, label[:, None])[:, 0]
    p = p if p.dtype == torch.float64 else p.float()
    return p, (target >= 0) * (weight[label] if weight.numel() else 1)
