"""Networks made ready for inference in PyTorch."""

import re

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from torch import nn

from mmlight.deploy.deploy import switch_to_deploy
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build


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


class Parts(BaseModel):
    """A pair; norms behind an activation and a concatenation; two for one convolution; a pair without weights."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.beside = nn.BatchNorm2d(7)
        self.shared, self.norms = nn.Conv2d(7, 7, 1), nn.ModuleList(nn.BatchNorm2d(7) for _ in range(2))
        self.last, self.plain = nn.Conv2d(7, 7, 1), nn.BatchNorm2d(7, affine=False)
        self.first, self.relu, self.behind = nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True), nn.BatchNorm2d(3)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -1, 1)
                nn.init.uniform_(module.running_var, 0.5, 1.5)

    def extract_feat(self, x):
        x = self.behind(self.relu(self.first(x)))
        y = self.beside(torch.cat([self.bn(self.conv(x)), x], 1))
        return [self.plain(self.last(norm(self.shared(y)))) for norm in self.norms]

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.extract_feat(inputs)


def test_only_pairs_are_folded():
    network = Parts()
    deployed = switch_to_deploy(network, (8, 8))
    assert isinstance(deployed.bn, nn.Identity)
    assert [name for name, module in deployed.named_modules() if isinstance(module, nn.BatchNorm2d)] == [
        'beside',
        'norms.0',
        'norms.1',
        'behind',
    ]
    image = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        for a, b in zip(network.eval()(image), deployed(image), strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_a_head_with_a_norm_for_each_level_keeps_them():
    deployed = switch_to_deploy(build(load_config('retinanet_spinenet-49s_sample')), (128, 128))
    left = {name.split('.')[0] for name, module in deployed.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert left == {'bbox_head'}


class Unfoldable(Parts):
    """Reads what the convolution puts out beside its norm."""

    def extract_feat(self, x):
        y = self.conv(x)
        return [self.bn(y) * y]


class Unrunnable(Parts):
    def extract_feat(self, x):
        raise ValueError('needs more than an image')


@pytest.mark.parametrize(
    ('kind', 'reason'), [(Unfoldable, 'it would change the outputs'), (Unrunnable, 'it cannot be checked: .*an image')]
)
def test_norms_that_cannot_be_folded_are_left(kind, reason, caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)  # it hands nothing on to others
    deployed = switch_to_deploy(kind(), (8, 8))
    logger.removeHandler(caplog.handler)
    assert re.search(f'{kind.__name__}: its norms are not folded, {reason}', caplog.text)
    assert isinstance(deployed.bn, nn.BatchNorm2d)
