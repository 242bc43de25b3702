"""Sizes of networks, without memory for weights and maps: everything runs on the ``meta`` device."""

import torch
from torch import nn


def parameters(net):
    return sum(p.numel() for p in net.parameters())


def _run(make, size, hook=None):
    with torch.device('meta'):
        net = make().eval()
        for module in net.modules():
            if hook and isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(hook)
        return net(torch.zeros(1, 3, *size))


def multiply_adds(make, *size):
    """Of convolutions and linear layers, from the shapes that pass through them."""
    total = 0

    def count(module, inputs, output):
        nonlocal total
        total += output.numel() * module.weight[0].numel()

    _run(make, size or (224, 224), count)
    return total


def shapes(make, *size):
    return [tuple(x.shape[1:]) for x in _run(make, size)]
