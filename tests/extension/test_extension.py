"""What a user adds in files of their own, by public names alone: a pyramid, a space, a sampler. Nothing is patched."""

import re
import runpy
import sys
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

HERE = Path(__file__).parent
sys.path.append(str(HERE))

from mmlight.deploy.export import export  # noqa: E402
from mmlight.errors import InputError  # noqa: E402
from mmlight.measure.complexity import measure  # noqa: E402
from mmlight.nas import search  # noqa: E402
from mmlight.nas.export import export as export_network  # noqa: E402
from mmlight.registry import GRAPHS, MODELS, SAMPLERS, SPACES  # noqa: E402
from mmlight.runtime.config import load_config  # noqa: E402
from mmlight.runtime.inference import build  # noqa: E402
from mmlight.tables import FeatureGraph, Node, build_graph, draw, to_dot  # noqa: E402

IMPORTS = "custom_imports = dict(imports=['mmlight', {}], allow_failed_imports=False)\n"
PROXY = HERE.parents[1] / 'configs' / 'nas' / 'nas-fpn_shufflenet-v2_sample.py'


@pytest.mark.parametrize(
    ('file', 'most'), [('ladder.py', 25), ('plain_net.py', 40), ('two_widths.py', 30), ('neighbours.py', 30)]
)
def test_they_are_short_and_public(file, most):
    text = (HERE / file).read_text()
    assert sum(1 for line in text.splitlines() if line.strip()) <= most
    assert not re.search(r'\b_[a-z]', text)


def own_pyramid(path, base, channels, more=''):
    """A config whose neck is the ladder."""
    neck = dict(_delete_=True, type='mmlight.GraphFPN', in_channels=channels, out_channels=16, graph='ladder')
    head = 'bbox_head=dict(in_channels=16)'
    path.write_text(f'_base_ = {base!r}\n{IMPORTS.format(repr("ladder"))}model = dict(neck={neck!r}, {head})\n{more}')
    return path


def test_a_pyramid_with_a_merge_of_its_own(tmp_path):
    """Built by a config, computed as its docstring says, trained a step, drawn, counted and exported."""
    base = 'mmlight::nas_fpn/retinanet_r18_nasfpn-3x64_sample.py'
    cfg = load_config(own_pyramid(tmp_path / 'config.py', base, [128, 256, 512]))
    neck = MODELS.build(cfg.model.neck)
    maps = neck([torch.randn(1, c, s, s, requires_grad=True) for c, s in ((128, 16), (256, 8), (512, 4))])
    assert [tuple(x.shape) for x in maps] == [(1, 16, s, s) for s in (16, 8, 4, 2, 1)]
    sum(x.sum() for x in maps).backward()
    assert all(p.grad is not None for p in neck.parameters())

    a, b, c = torch.randn(3, 1, 16, 4, 4)
    torch.testing.assert_close(neck.cells[0].nodes[2].merge([a, b, c]), torch.stack([a, b, c]).amax(0))
    graph = build_graph('ladder', 3, 7)
    assert [node.inputs for node in graph.nodes] == [(3, 4), (2, 5, 4), (1, 6, 5), (0, 7, 6)]
    figure = draw({'ladder': graph}, tmp_path / 'ladder.png')
    assert 'maximum' in {text.get_text() for text in figure.legends[0].get_texts()}
    assert to_dot(graph).count('fillcolor="#d62828"') == 4
    assert measure(cfg, (128, 128)).parameters > 11e6
    exported = export(cfg, out=tmp_path / 'ladder.onnx', shape=(128, 128)).file
    operators = {node.op_type for node in onnx.load(exported).graph.node}
    assert 'Max' in operators
    with pytest.raises(InputError, match="merge 'maximum' needs at least 1"):
        FeatureGraph((3,), (Node(3, (), 'maximum'),), (1,))


def test_the_pyramid_in_the_tools(tmp_path, monkeypatch, capsys):
    """draw_graph.py takes it by its module's name, and a search varies what stands around it."""
    script = HERE.parents[1] / 'tools' / 'analysis_tools' / 'draw_graph.py'
    arguments = ['ladder.ladder', '--out', str(tmp_path / 'ladder.dot')]
    monkeypatch.setattr(sys, 'argv', [str(script), *arguments])
    runpy.run_path(str(script), run_name='__main__')
    assert (tmp_path / 'ladder.dot').read_text().count('tooltip="maximum, conv"') == 4

    proxy = own_pyramid(tmp_path / 'proxy.py', str(PROXY), [48, 96, 192])
    sections = dict(
        space=dict(type='TwoWidths'),
        sampler=dict(type='Neighbours'),
        objective=dict(type='MACs', target=60e6, shape=(128, 128)),
        trials=3,
        batch_size=3,
    )
    text = f'_base_ = {str(proxy)!r}\n' + IMPORTS.format("'ladder', 'two_widths', 'neighbours'")
    (tmp_path / 'own.py').write_text(f'{text}search = dict(_delete_=True, **{sections!r})\n')
    trials = search.run(tmp_path / 'own.py', tmp_path / 'run')
    assert len({trial.metrics['macs'] for trial in trials}) == 3
    best = tmp_path / 'best.py'
    export_network(tmp_path / 'run', best)
    assert load_config(best).model.neck.graph == 'ladder'


class Theirs(nn.Module):
    """Another implementation of plain_net.py's network."""

    def __init__(self):
        super().__init__()
        widths = (3, 8, 16, 32, 32, 64, 64)
        strides = (2, 2, 2, 1, 2, 1)
        self.features = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b, stride in zip(widths, widths[1:], strides)
        )

    def forward(self, x):
        maps = [x := layer(x) for layer in self.features]
        return maps[1], maps[3], maps[5]


def test_a_backbone_with_foreign_weights(tmp_path):
    """As a config names it: their file gives their function, and another network refuses the file."""
    theirs = Theirs()
    for norm in theirs.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.normal_(norm.running_mean)
    torch.save(theirs.state_dict(), tmp_path / 'theirs.pth')
    weights = dict(type='Pretrained', checkpoint=str(tmp_path / 'theirs.pth'))
    neck = dict(_delete_=True, type='mmlight.BiFPN', in_channels=[16, 32, 64], out_channels=16, num_cells=1)
    backbone = dict(_delete_=True, type='mmlight.PlainNet', init_cfg=weights)
    (tmp_path / 'own.py').write_text(
        f'_base_ = {str(PROXY)!r}\n{IMPORTS.format(repr("plain_net"))}'
        f'model = dict(backbone={backbone!r}, neck={neck!r}, bbox_head=dict(in_channels=16))\n'
    )
    cfg = load_config(tmp_path / 'own.py')
    detector = build(cfg)
    detector.init_weights()
    image = torch.randn(2, 3, 65, 96)
    for ours, wanted in zip(detector.eval().backbone(image), theirs.eval()(image), strict=True):
        torch.testing.assert_close(ours, wanted)
    losses = [level.mean() for level in detector.train().extract_feat(image)]
    sum(losses).backward()
    assert detector.backbone.conv1.conv.weight.grad is not None
    with pytest.raises(InputError, match=r'the weights are of PlainNet \(flat layout\), the network is ShuffleNetV2'):
        MODELS.build(dict(type='mmlight.ShuffleNetV2')).load_state_dict(theirs.state_dict())


@pytest.mark.parametrize('sampler', ['Neighbours', 'RandomSampler'])
def test_a_search_in_a_space_of_ones_own(tmp_path, sampler):
    sections = dict(
        space=dict(type='TwoWidths'),
        sampler=dict(type=sampler),
        objective=dict(type='MACs', target=60e6, shape=(128, 128)),
        trials=4,
        batch_size=2,
    )
    text = f'_base_ = {str(PROXY)!r}\n' + IMPORTS.format("'two_widths', 'neighbours'")
    (tmp_path / 'own.py').write_text(f'{text}search = dict(_delete_=True, **{sections!r})\n')
    trials = search.run(tmp_path / 'own.py', tmp_path / 'run')
    assert len({trial.choices for trial in trials}) >= 4
    again = search.run(tmp_path / 'own.py', tmp_path / 'run', resume=True, trials=5)
    assert [trial.choices for trial in again[: len(trials)]] == [trial.choices for trial in trials]


def test_an_unknown_name_lists_them_too():
    import ladder  # noqa: F401

    with pytest.raises(InputError, match=r"unknown graph 'stairs', known are fpn, .*ladder"):
        build_graph('stairs', 3, 7)
    assert GRAPHS.get('ladder') is not None
    assert SPACES.get('NASFPNSpace') is not None
    assert SAMPLERS.get('RNNController') is not None
