"""Folding, and functions that run a network's variants."""

import pytest
import torch
from torch import nn

from mmlight.deploy.folding import RawOutputs, fold_norms, runnable
from mmlight.errors import InputError
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build

LONG = pytest.mark.long
FOLDED = (
    'thundernet_snet49_sample',
    pytest.param('light-head-rcnn_xception-s_sample', marks=LONG),
    pytest.param('efficientdet_d0_sample', marks=LONG),
)


@pytest.mark.parametrize('name', FOLDED)
def test_folded_detectors_compute_the_same(name):
    torch.manual_seed(0)
    network = build(load_config(name)).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    folded = fold_norms(network, (128, 128))
    image = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        before, after = (RawOutputs(model, (128, 128))(image) for model in (network, folded))
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
    left = [module for module in folded.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    assert not left


def test_a_variant_leaves_the_network_as_it_was():
    network = build(load_config('bisenet_xception39_sample')).eval()
    with runnable(network, (64, 64), 'channels-last', 'e2e', 2, 1) as function:
        labels = function()
    assert labels.shape == (2, 64, 64)
    weight = network.backbone.fusion.conv1.conv.weight
    assert weight.is_contiguous()
    with pytest.raises(InputError, match='cuda-graph'), runnable(network, (64, 64), 'cuda-graph', 'e2e', 1, 1):
        pass
