"""Rates by parts beside the rules for norms and biases, and EfficientDet's clipping."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmlight.errors import InputError

SGD = dict(type='SGD', lr=0.01, weight_decay=0.1)


def network() -> nn.Module:
    parts = {name: nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)) for name in ('body', 'head')}
    return nn.ModuleDict(parts)


def test_a_faster_part_keeps_the_rules():
    net = network()
    paramwise = dict(norm_decay_mult=0, bias_decay_mult=0, part_rates={'head': 10, 'head.1': 2})
    cfg = dict(constructor='mmlight.PartRates', optimizer=SGD, paramwise_cfg=paramwise)
    groups = build_optim_wrapper(net, cfg).optimizer.param_groups
    found = {id(group['params'][0]): (group['lr'], group['weight_decay']) for group in groups}
    assert {name: found[id(parameter)] for name, parameter in net.named_parameters()} == {
        'body.0.weight': (0.01, 0.1), 'body.0.bias': (0.01, 0), 'body.1.weight': (0.01, 0), 'body.1.bias': (0.01, 0),
        'head.0.weight': (0.1, 0.1), 'head.0.bias': (0.1, 0), 'head.1.weight': (0.02, 0), 'head.1.bias': (0.02, 0),
    }  # fmt: skip


def test_a_part_that_is_not_there():
    cfg = dict(constructor='mmlight.PartRates', optimizer=SGD, paramwise_cfg=dict(part_rates={'hed': 10}))
    with pytest.raises(InputError, match="'hed' is no part of ModuleDict"):
        build_optim_wrapper(network(), cfg)


def test_each_gradient_is_clipped_and_then_all():
    """By hand: norms 30, 4 and 0 become 10, 4 and 0, whose common norm is 116 ** 0.5."""
    net = nn.ParameterList([torch.zeros(1), torch.zeros(2), torch.zeros(1)])
    cfg = dict(constructor='mmlight.ClipEach', optimizer=dict(SGD, lr=1, weight_decay=0), clip_grad=dict(max_norm=10))
    wrapper = build_optim_wrapper(net, cfg)
    wrapper.update_params(30 * net[0].sum() + 4 * net[1][0] + 0 * net[2].sum())
    scale = 10 / 116**0.5
    assert [p.tolist() for p in net] == [[pytest.approx(-10 * scale)], [pytest.approx(-4 * scale), 0], [0]]
