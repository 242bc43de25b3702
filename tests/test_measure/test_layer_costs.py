"""Costs by layer: known layers by hand, totals of the complexity count, real networks, text and picture."""

import json

import cv2
import pytest
import torch
from mmdet.models import MobileNetV2, ResNet, ResNeXt
from torch import nn

from mmlight.errors import InputError
from mmlight.measure.complexity import measure
from mmlight.measure.layer_costs import measure_layers
from mmlight.measure.layer_report import plot, text
from mmlight.models.backbones import ShuffleNetV2


class Residual(nn.Module):
    """A convolution with bias and stride, an addition, a copy."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.bn, self.relu = nn.BatchNorm2d(6), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.relu(self.bn(self.conv(x)))
        return torch.cat([y + y.mean((2, 3), keepdim=True), y.expand(2, -1, -1, -1)[:1]])


def test_elements_read_and_written():
    costs = measure_layers(Residual(), (8, 10), device='meta')
    before, after = 3 * 80, 6 * 20
    found = {(layer.name, layer.kind): layer.accesses for layer in costs.layers}
    assert found == {
        ('conv', 'dense'): before + after + 6 * 3 * 9 + 6,
        ('bn', 'normalisation'): 2 * after + 4 * 6,
        ('relu', 'element-wise'): 2 * after,
        ('', 'pooling'): after + 6,  # the mean
        ('', 'element-wise'): after + 6 + after,
        ('', 'copying'): 2 * after + 2 * after,
    }
    assert costs.accesses == sum(found.values())
    assert costs.layers[0].convolutions[0].accesses == found['conv', 'dense'] - 6  # the bias aside
    assert costs.ms is costs.latency is None


@pytest.mark.parametrize(
    'make', [ShuffleNetV2, MobileNetV2, lambda: ResNet(50)], ids=['shufflenet', 'mobilenet', 'r50']
)
def test_totals_are_those_of_the_complexity_count(make):
    network = make().to('meta')
    costs, counted = measure_layers(network, (64, 96), device='meta'), measure(network, (64, 96))
    assert (costs.macs, costs.parameters) == (counted.macs, counted.parameters)
    assert sum(group.macs for group in costs.by_group(2)) == sum(kind.macs for kind in costs.by_kind()) == costs.macs
    assert {group.name.split('.')[0] for group in costs.by_group(2)} >= set(counted.by_part)


def test_two_stages():
    name = 'thundernet_snet49_4xb16-375k_coco-320'
    costs, counted = measure_layers(name, 128), measure(name, 128)
    assert (costs.name, costs.rois) == (name, 200)
    assert (costs.macs, costs.parameters) == (counted.macs, counted.parameters)
    head = [layer for layer in costs.layers if layer.kind == 'matrix']
    assert sum(layer.macs for layer in head) == 200 * (245 * 1024 + 1024 * (81 + 4))


def test_shufflenet():
    costs = measure_layers(ShuffleNetV2(widen_factor=1.0), 224, device='meta')
    assert len(costs.blocks) == 4 + 8 + 4
    down = [block for block in costs.blocks if block.name.endswith('.0')]
    assert [(block.fragments, block.serial, block.parallel) for block in down] == [(5, 3, 2)] * 3
    assert {(block.fragments, block.serial, block.parallel) for block in costs.blocks if block not in down} == {
        (3, 3, 1)
    }
    assert not [layer.name for layer in costs.layers if 'G2' in layer.breaks]
    unequal = [layer.name for layer in costs.layers if 'G1' in layer.breaks]
    assert all('.0.branch' in name for name in unequal)  # all units but those of stride 2 have equal widths


def test_mobilenet_and_resnet():
    costs = measure_layers(MobileNetV2(out_indices=(6,)), 224, device='meta')
    expand = next(layer for layer in costs.layers if layer.name == 'layer2.0.expand_conv.conv')
    assert expand.breaks == ('G1',)
    assert expand.factor == pytest.approx(7 / (2 * 6**0.5), rel=1e-3)  # widths 1:6 on a large map
    assert {layer.breaks for layer in costs.layers if layer.kind == 'depthwise'} == {('G4',)}
    blocks = measure_layers(ResNet(50), 224, device='meta').blocks
    assert [block.name for block in blocks if block.fragments > 3] == [f'layer{stage}.0' for stage in (1, 2, 3, 4)]
    assert {(block.fragments, block.serial, block.parallel) for block in blocks} == {(4, 3, 2), (3, 3, 1)}


def test_resnext_breaks_g2():
    costs = measure_layers(ResNeXt(depth=50, groups=32, base_width=4), 224, device='meta')
    broken = [layer for layer in costs.layers if 'G2' in layer.breaks]
    assert {layer.kind for layer in broken} == {'grouped'}
    assert {layer.convolutions[0].groups for layer in broken} == {32}
    assert 'G2 few groups: 1' in text(costs)


class Cell(nn.Module):
    """Three chains of one to three convolutions, and a pooling."""

    def __init__(self):
        super().__init__()
        self.chains = nn.ModuleList(nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(n))) for n in (1, 2, 3))

    def forward(self, x):
        return sum(chain(x) for chain in self.chains) + torch.nn.functional.max_pool2d(x, 3, 1, 1)


def test_fragments():
    costs = measure_layers(nn.Sequential(Cell(), Cell()), 8, device='meta')
    assert [(b.name, b.fragments, b.serial, b.parallel) for b in costs.blocks] == [('0', 7, 3, 4), ('1', 7, 3, 4)]
    assert '2 of 2 blocks' in text(costs)


def test_times_text_and_picture(tmp_path):
    network = ShuffleNetV2(widen_factor=0.5)
    network.train()
    costs = measure_layers(network, 64, repeats=3, fuse=True)
    assert network.training
    assert 'normalisation' in {layer.kind for layer in measure_layers(network, 64).layers}  # it has not been changed
    assert 'normalisation' not in {layer.kind for layer in costs.layers}
    assert costs.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert all(layer.ms > 0 for layer in costs.layers)
    assert costs.ms == pytest.approx(sum(kind.ms for kind in costs.by_kind()))
    assert costs.latency.p50 > 0
    data = json.loads(json.dumps(costs.to_dict()))
    assert data['latency']['p50'] == costs.latency.p50
    assert data['layers'][0]['factor'] == costs.layers[0].factor
    report = text(costs, rows=5)
    assert 'The 5 layers with the most time' in report
    assert all(f'\n{name} ' in report for name in ('G1', 'G2', 'G3', 'G4'))
    assert len(text(costs, rows=0).splitlines()) > len(costs.layers)
    plot(costs, tmp_path / 'new' / 'costs.png')
    plot(measure_layers(network, 64), tmp_path / 'counted.png', depth=2)
    for picture in ('new/costs.png', 'counted.png'):
        assert cv2.imread(str(tmp_path / picture)).std() > 10


def test_bad_input():
    class Growing(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls, self.conv = 0, nn.Conv2d(3, 3, 1)

        def forward(self, x):
            self.calls += 1
            for _ in range(self.calls):
                x = self.conv(x)
            return x

    with pytest.raises(InputError, match='does not run the same operators twice'):
        measure_layers(Growing(), 8, repeats=3)
    with pytest.raises(InputError, match='repeats: -1'):
        measure_layers(nn.Conv2d(3, 8, 3), 8, repeats=-1)
    with pytest.raises(InputError, match='Conv2d cannot run on an image of 2 x 2'):
        measure_layers(nn.Conv2d(3, 8, 3), 2)
