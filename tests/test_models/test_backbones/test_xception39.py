"""Xception39 against the published multiply-adds, by stage, and as a classifier."""

import pytest
import torch

from mmlight.errors import InputError
from mmlight.measure.complexity import measure
from mmlight.models.backbones import Xception39


def parameters(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_its_name_is_its_multiply_adds():
    """39 M at 224x224, and BiSeNet, arXiv 1808.00897, Table 1: 185.5 M at 360x640 with a classifier (within 1 %)."""
    with torch.device('meta'):
        network = Xception39()
    assert measure(network, (224, 224)).macs == 39_475_968
    found = measure(network, (360, 640))
    assert found.macs == 185_928_960
    classifier = 256 * 19 * 12 * 20
    assert found.macs + classifier == pytest.approx(185.5e6, rel=0.01)


def test_parameters_by_stage():
    """Specification, 2.2: 232 in the stem, then 12,752, 97,024 and 189,440; 1.16 MiB with 19 classes (paper: 1.2)."""
    with torch.device('meta'):
        network = Xception39()
    assert [parameters(stage) for stage in network.stages()] == [232, 12_752, 97_024, 189_440]
    assert parameters(network) == 299_448
    assert (parameters(network) + 257 * 19) * 4 / 2**20 == pytest.approx(1.161, abs=5e-4)


@pytest.mark.parametrize(('size', 'sides'), [((360, 640), (45, 80, 23, 40, 12, 20)), ((65, 97), (9, 13, 5, 7, 3, 4))])
def test_output_sizes_are_rounded_up(size, sides):
    network = Xception39().eval()
    with torch.no_grad():
        found = network(torch.rand(1, 3, *size))
    assert [x.shape[1] for x in found] == list(network.out_channels) == [64, 128, 256]
    assert network.out_strides == (8, 16, 32)
    assert tuple(side for x in found for side in x.shape[2:]) == sides


def test_classifier_and_its_weights():
    """The head for ImageNet has 257,000 parameters; the rest is the backbone's, one to one."""
    classifier = Xception39(num_classes=1000)
    assert parameters(classifier) == 299_448 + 257_000
    assert classifier(torch.rand(2, 3, 64, 64)).shape == (2, 1000)
    backbone = Xception39()
    missing, unexpected = backbone.load_state_dict(classifier.state_dict(), strict=False)
    assert missing == []
    assert unexpected == ['fc.weight', 'fc.bias']


def test_what_lies_behind_the_last_output_is_not_built():
    assert parameters(Xception39(out_indices=(0, 1))) == 299_448 - 189_440


def test_frozen_stages():
    network = Xception39(frozen_stages=2)
    trained = {name.split('.')[1] for name, p in network.named_parameters() if p.requires_grad}
    assert trained == {'2'}
    assert not network.layers[1].training


@pytest.mark.parametrize('wrong', [dict(out_indices=(0, 3)), dict(out_indices=()), dict(num_classes=0)])
def test_wrong_arguments(wrong):
    with pytest.raises(InputError, match='Xception39: '):
        Xception39(**wrong)
