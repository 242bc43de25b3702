"""Networks made ready for inference in PyTorch."""

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from torch import nn

from mmlight.analysis.complexity import build
from mmlight.deployment.deploy import switch_to_deploy
from mmlight.engine.config import load_config


@pytest.mark.parametrize('name', ['thundernet_snet49_sample', 'bisenet_xception39_sample'])
def test_the_copy_computes_the_same(name):
    torch.manual_seed(0)
    network = build(load_config(name))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    deployed = switch_to_deploy(network, (128, 128))
    assert not deployed.training
    assert not any(isinstance(module, nn.BatchNorm2d) for module in deployed.backbone.modules())
    image = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        before, after = network.eval().extract_feat(image), deployed.extract_feat(image)
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)
        assert b.is_contiguous(memory_format=torch.channels_last)
    assert any(isinstance(module, nn.BatchNorm2d) for module in network.backbone.modules())
    assert all(parameter.is_contiguous() for parameter in network.parameters())


class Concatenated(BaseModel):
    """A norm whose input is the convolution's beside another map."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(7)

    def extract_feat(self, x):
        return [self.bn(torch.cat([self.conv(x), x], 1))]

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.extract_feat(inputs)


def test_norms_that_cannot_be_folded_are_left(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)  # it hands nothing on to others
    deployed = switch_to_deploy(Concatenated(), (8, 8))
    logger.removeHandler(caplog.handler)
    assert 'Concatenated: folding its norms changes its outputs' in caplog.text
    assert isinstance(deployed.bn, nn.BatchNorm2d)
