"""Segmentors side by side: published figures found, counts of the networks, folding that changes nothing."""

import pytest
import torch
from mmseg import __version__ as mmseg_version
from torch import nn

from benchmarks.segmentor_comparison import BASELINES, compare, find, fold_norms, markdown, published
from mmlight.errors import InputError
from mmlight.measure.complexity import measure
from mmlight.measure.latency import machine
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build

FAST_SCNN = 'mmseg::fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py'
X39 = 'bisenet_xception39_4xb4-160k_cityscapes-1024x1024'


def test_published():
    """mmseg 1.2.2's metafiles, and this package's own."""
    found = [published(find(name)) for name in BASELINES]
    assert all(one.dataset == 'Cityscapes val' for one in found)
    if mmseg_version == '1.2.2':
        expected = [74.44, 73.21, 74.94, 76.67, 78.74, 80.22, 80.89, 77.84, 79.99, 70.96, 74.43, 76.29, 68.27, 72.50]
        assert [one.miou for one in found] == expected
    assert published(find(X39)).miou == 70.32
    assert published(find('bisenet_xception39_sample')) is None


def test_mmseg_s_bisenet():
    """13,275,539 parameters without the auxiliary heads (configs/bisenet/README.md)."""
    with torch.device('meta'):
        assert measure(build(load_config(find(BASELINES[0]))), (64, 128)).parameters == 13_275_539


def test_one_table():
    rows, labels = compare([X39, FAST_SCNN], shape=(64, 128), threads=(1,), rounds=1, repeats=1)
    assert [row.name for row in rows] == ['fast_scnn_8xb4-160k_cityscapes-512x1024', X39]
    assert rows[0].complexity.parameters == pytest.approx(1.40e6, rel=0.01)
    assert rows[1].complexity.parameters == 1_541_963
    assert all(row.latency[1].p50 > 0 and row.folded for row in rows)
    text = markdown(rows, labels, machine())
    header, _, first, second = text.splitlines()[:4]
    assert header.count('|') == first.count('|') == second.count('|')
    assert f'| {X39} | 70.32 | Cityscapes val | 1.54 | 5.88 |' in second


@pytest.mark.parametrize(
    'name',
    [
        X39,
        'mmseg::pidnet/pidnet-s_2xb6-120k_1024x1024-cityscapes.py',  # norms before convolutions
        'mmseg::erfnet/erfnet_fcn_4xb4-160k_cityscapes-512x1024.py',  # a concatenation before the norm
    ],
    ids=['bisenet', 'pidnet', 'erfnet'],
)
def test_folding_changes_nothing(name):
    torch.manual_seed(0)
    network = build(load_config(find(name)))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    folded = fold_norms(network, (64, 128))
    norms, left = ([m for m in model.modules() if isinstance(m, nn.BatchNorm2d)] for model in (network, folded))
    assert len(left) < len(norms)
    image = torch.rand(1, 3, 64, 128)
    with torch.no_grad():
        expected, found = (model.eval()(image) for model in (network, folded))
    if not isinstance(expected, torch.Tensor):
        expected, found = expected[0], found[0]
    assert (expected - found).abs().max() < 1e-4 * expected.abs().max()


def test_given_twice():
    with pytest.raises(InputError, match='is given twice'):
        compare([X39, X39])
