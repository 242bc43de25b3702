"""What a user adds in files of their own, by public names alone: a pyramid, a space, a sampler. Nothing is patched."""

import re
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent
sys.path.append(str(HERE))

from mmlight.deploy.export import export  # noqa: E402
from mmlight.errors import InputError  # noqa: E402
from mmlight.measure.complexity import measure  # noqa: E402
from mmlight.nas import search  # noqa: E402
from mmlight.registry import GRAPHS, MODELS, SAMPLERS, SPACES  # noqa: E402
from mmlight.runtime.config import load_config  # noqa: E402
from mmlight.tables import build_graph, draw  # noqa: E402

IMPORTS = "custom_imports = dict(imports=['mmlight', {}], allow_failed_imports=False)\n"
PROXY = HERE.parents[1] / 'configs' / 'nas' / 'nas-fpn_shufflenet-v2_sample.py'


@pytest.mark.parametrize(('file', 'most'), [('ladder.py', 25), ('two_widths.py', 30), ('neighbours.py', 30)])
def test_they_are_short_and_public(file, most):
    text = (HERE / file).read_text()
    assert sum(1 for line in text.splitlines() if line.strip()) <= most
    assert not re.search(r'\b_[a-z]', text)


def test_a_pyramid_by_its_name(tmp_path):
    """Built by a config, trained a step, drawn, counted and exported."""
    (tmp_path / 'config.py').write_text(
        f"_base_ = 'mmlight::nas_fpn/retinanet_r18_nasfpn-3x64_sample.py'\n{IMPORTS.format(repr('ladder'))}"
        "model = dict(neck=dict(_delete_=True, type='mmlight.GraphFPN', in_channels=[128, 256, 512], out_channels=16,\n"
        "                       graph='ladder', num_cells=2), bbox_head=dict(in_channels=16))\n"
    )
    cfg = load_config(tmp_path / 'config.py')
    neck = MODELS.build(cfg.model.neck)
    maps = neck([torch.randn(1, c, s, s, requires_grad=True) for c, s in ((128, 16), (256, 8), (512, 4))])
    assert [tuple(x.shape) for x in maps] == [(1, 16, s, s) for s in (16, 8, 4, 2, 1)]
    sum(x.sum() for x in maps).backward()
    assert all(p.grad is not None for p in neck.parameters())
    graph = build_graph('ladder', 3, 7)
    assert [node.inputs for node in graph.nodes] == [(3, 4), (2, 5, 4), (1, 6, 5), (0, 7, 6)]
    draw({'ladder': graph}, tmp_path / 'ladder.png')
    assert (tmp_path / 'ladder.png').stat().st_size > 5000
    assert measure(cfg, (128, 128)).parameters > 11e6
    assert export(cfg, out=tmp_path / 'ladder.onnx', shape=(128, 128)).file.stat().st_size > 30e6


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

    with pytest.raises(InputError, match=r"unknown name 'stairs', known are fpn, .*ladder"):
        build_graph('stairs', 3, 7)
    assert GRAPHS.get('ladder') is not None
    assert SPACES.get('NASFPNSpace') is not None
    assert SAMPLERS.get('RNNController') is not None
