"""Effective receptive fields, weights for reallocated networks, and the comparison with training alone."""

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from cr_configs import CONFIGS

from mmlight.errors import InputError
from mmlight.measure.receptive_field import draw, effective_fields, theoretical
from mmlight.models.backbones.cr_backbones import CRMobileNetV2, CRResNet
from mmlight.nas.log import TrialLog
from mmlight.nas.one_shot.ranking import StandAlone, kendall_tau
from mmlight.runtime.config import load_config
from mmlight.tables.allocations import SCR_RESNET50
from mmlight.weights.scr import fill

TOOLS = CONFIGS.parents[1] / 'tools'


def test_fields_of_random_networks(tmp_path):  # check 12; a quarter of the width does not matter
    sides, networks = {}, {}
    for name, blocks in (('R50', None), ('SCR-R50', SCR_RESNET50.stage_blocks)):
        torch.manual_seed(0)
        networks[name] = CRResNet(50, blocks, base_channels=16, norm_eval=True)
        before = {key: value.clone() for key, value in networks[name].state_dict().items()}
        sides[name] = effective_fields(networks[name], size=640, samples=1)
        assert all(torch.equal(before[key], value) for key, value in networks[name].state_dict().items())
    assert [field.stride for field in sides['R50']] == [4, 8, 16, 32]
    ratio = {one.stride: two.side / one.side for one, two in zip(sides['R50'], sides['SCR-R50'], strict=True)}
    assert ratio[8] < 0.9
    assert ratio[32] > 1.3
    known = {name: theoretical(network) for name, network in networks.items()}
    assert known['SCR-R50'] == {4: 19, 8: 59, 16: 203, 32: 619}
    assert all(field.side <= known[name][field.stride] + 8 for name, fields in sides.items() for field in fields)
    draw(sides, tmp_path / 'erf.png', known)
    assert (tmp_path / 'erf.png').stat().st_size > 5000


def test_fields_of_a_convolution():
    """One 3x3 convolution of equal weights: nine equal pixels."""
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 3, stride=2, padding=1, bias=False))
    network[0].weight.data.fill_(1.0)

    class Backbone(torch.nn.Module):
        def forward(self, image):
            return (network(image),)

    (field,) = effective_fields(Backbone(), size=64, samples=2, cell=1)
    assert (field.stride, field.side) == (2, 3.0)
    assert theoretical(CRMobileNetV2()) == {}
    with pytest.raises(InputError, match=r'size: must be a multiple of 32 and of the cell \(8\), 64 at least, got 100'):
        effective_fields(network, size=100)
    with pytest.raises(InputError, match='samples and cell: must be at least 1, got 0 and 8'):
        effective_fields(network, size=64, samples=0)


@pytest.mark.parametrize(('depth', 'blocks'), [(18, (2, 3, 2, 4)), (50, (3, 5, 7, 3))])
def test_filled_network_computes_what_the_smaller_one_does(depth, blocks):
    torch.manual_seed(0)
    source = CRResNet(depth, base_channels=8)
    weights = {**source.state_dict(), 'fc.weight': torch.ones(1)}
    network = CRResNet(depth, blocks, base_channels=8)
    network.load_state_dict(fill(weights, blocks), strict=True)
    image = torch.randn(1, 3, 64, 64)
    source.eval()
    network.eval()
    for own, other in zip(network(image), source(image), strict=True):
        torch.testing.assert_close(own, other)


def test_filled_network_with_fewer_blocks():
    source = CRResNet(50, base_channels=8)
    found = fill(source.state_dict(), (1, 3, 5, 7))
    CRResNet(50, (1, 3, 5, 7), base_channels=8).load_state_dict(found, strict=True)
    assert torch.equal(found['layer4.6.conv2.weight'], source.layer4[2].conv2.weight)
    assert found['layer4.6.bn3.weight'].abs().sum() == 0
    assert found['layer4.2.bn3.weight'].abs().sum() > 0
    with pytest.raises(InputError, match=r'not the weights of a ResNet: they have x, \.\.\.'):
        fill({'x': torch.zeros(1)}, (1, 1, 1, 1))


def test_converter(tmp_path, monkeypatch, capsys):
    script = str(TOOLS / 'model_converters' / 'resnet_to_scr.py')
    source, target = tmp_path / 'r18.pth', tmp_path / 'new' / 'scr.pth'
    torch.save(CRResNet(18, base_channels=4).state_dict(), source)

    def run(*arguments):
        monkeypatch.setattr(sys, 'argv', [script, str(source), str(target), *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(script, run_name='__main__')
        return end.value.code

    assert run('--arch', 'scr-resnet18') == 0
    assert 'stage_blocks=(1, 1, 2, 4)' in capsys.readouterr().out
    config = dict(init_cfg=dict(type='Pretrained', checkpoint=str(target)), base_channels=4)
    network = CRResNet(18, (1, 1, 2, 4), **config)
    network.init_weights()
    assert torch.equal(network.layer4[3].conv1.weight, torch.load(source)['layer4.1.conv1.weight'])
    for arguments in ((), ('--blocks', '1', '1', '1', '0')):
        assert run(*arguments) == 2
        assert capsys.readouterr().err.startswith('error: --')


@pytest.mark.parametrize(('other', 'tau'), [([1, 2, 3, 4], 1), ([4, 3, 2, 1], -1), ([2, 1, 3, 4], 2 / 3), ([1] * 4, 0)])
def test_kendall_tau(other, tau):
    assert kendall_tau([1, 2, 3, 4], other) == pytest.approx(tau)


def test_ties_count_for_neither():
    """Worked by hand: five of six pairs are ordered in the first, all agree."""
    assert kendall_tau([1, 1, 2, 3], [1, 2, 3, 4]) == pytest.approx(5 / (5 * 6) ** 0.5)


NINE = [(1, 1, 2, 4), (1, 1, 3, 3), (1, 2, 2, 3), (1, 2, 3, 2), (1, 3, 2, 2), (2, 1, 2, 3), (2, 1, 3, 2),
        (2, 2, 2, 2), (3, 1, 2, 2)]  # fmt: skip


def stage_search(search: Path, scored: list) -> Path:
    """What a finished stage search leaves, as far as the comparison reads it."""
    space = dict(choices=[[1, 2, 3], [1, 2, 3], [2, 3], [2, 3, 4]], budget=8, weights=[1] * 4, tolerance=0)
    log = TrialLog(search / 'search.jsonl', dict(search='StageSearchLoop', supernet='abc', **space))
    for number, path in enumerate(scored):
        log.append(dict(event='done', path=path, draw=0, score=0.9 - number / 100))
    (search / 'best.json').write_text(json.dumps(dict(path=scored[0])))
    return search


@pytest.mark.long
def test_training_alone(split, tmp_path):
    """What is not in the log is really trained, with the allocation and the dilations in its config."""
    search, annotations = stage_search(tmp_path / 'search', NINE[:2]), split / 'annotations'
    options = {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1}
    for part, which, images in (('train', 'archtrain', 'train'), ('val', 'val', 'val'), ('test', 'val', 'val')):
        options[f'{part}_dataloader.dataset.ann_file'] = str(annotations / f'instances_{which}.json')
        options[f'{part}_dataloader.dataset.data_prefix.img'] = f'{split}/leftImg8bit/{images}/'
        if part != 'train':
            options[f'{part}_evaluator.ann_file'] = str(annotations / f'instances_{which}.json')
    out, dilations = tmp_path / 'out', (1, 1, 1, 1, 1, 1, 2, 3)
    log = TrialLog(out / 'trained.jsonl', dict(search='abc', metric='coco/bbox_mAP', options=options))
    for path in NINE[:2]:
        log.append(dict(event='trained', path=path, dilations=None, seed=0, metrics={'coco/bbox_mAP': 0.5}))
    alone = StandAlone(search, 'faster-rcnn_r18_sample', out, randoms=1, options=options, dilations=dilations)
    report = alone.run(lambda line: None).read_text()
    assert f'With the dilations {dilations}: {alone.trained()[NINE[0], dilations, 0]:.4f}' in report
    (config,) = out.glob('*/config.py')
    backbone = load_config(config).model.backbone
    assert (tuple(backbone.stage_blocks), tuple(backbone.block_dilations)) == (NINE[0], dilations)
    assert (config.parent / 'training' / 'epoch_1.pth').exists()
    with pytest.raises(InputError, match=r"has options \{'train_cfg.max_epochs': 1, .* the config has None"):
        StandAlone(search, 'faster-rcnn_r18_sample', out, randoms=1, dilations=dilations)


def test_report_of_training_alone(tmp_path):
    """What was trained before is not trained again: here everything was."""
    nine, search = NINE, stage_search(tmp_path / 'search', NINE)
    out = tmp_path / 'out'
    trained = TrialLog(out / 'trained.jsonl', dict(search='abc', metric='coco/bbox_mAP'))
    for seed in (0, 1):
        for number, path in enumerate(nine):
            metrics = {'coco/bbox_mAP': 0.5 - number / 50 + seed / 100}
            trained.append(dict(event='trained', path=path, dilations=None, seed=seed, metrics=metrics))
    lines = []
    report = StandAlone(search, 'faster-rcnn_r18_bccd', out, seeds=(0, 1)).run(lines.append).read_text()
    assert len(lines) == 18
    assert "Kendall's tau over 9 allocations: 1.00 (each seed: 1.00, 1.00)" in report
    assert 'Found (1, 1, 2, 4): coco/bbox_mAP 0.5050.' in report
    assert 'The found one is better than their mean' in report
    assert (out / 'ranking.png').exists()
    with pytest.raises(InputError, match=r'holds no finished stage search \(best.json\)'):
        StandAlone(Path(tmp_path), 'faster-rcnn_r18_bccd', out)
    with pytest.raises(InputError, match=r'--random 5: must be at least 1 and less than --limit, 5'):
        StandAlone(search, 'faster-rcnn_r18_bccd', out, limit=5)
