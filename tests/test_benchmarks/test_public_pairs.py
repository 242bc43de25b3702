"""Public implementations with the same weights compute the same, before anybody is called faster."""

import json

import pytest

from benchmarks.public_pairs import (
    PAIRS,
    SIDES,
    Compared,
    bisenet,
    compare_pairs,
    difference,
    markdown,
    nas_fpn,
)
from mmlight.errors import InputError
from mmlight.measure.latency import Latency


def test_a_small_nas_fpn():
    pair = nas_fpn(stacks=2, channels=8, size=256)
    sides = pair.functions()
    assert tuple(sides) == SIDES
    for side in sides:
        assert difference(sides[side](), sides['theirs']()) < 1e-5


def test_mmsegs_bisenet():
    pair = bisenet(64, 128)
    assert difference(pair.ours(pair.inputs), pair.theirs(pair.inputs)) < 1e-5


@pytest.mark.long
@pytest.mark.usefixtures('torchvision_models')
def test_a_table():
    (one,) = found = compare_pairs(['shufflenet-v2'], threads=[1], seconds=0.01, repeats=1)
    assert one.difference < 1e-5
    assert one.ratio(1, 'folded') > 0
    assert json.loads(json.dumps(one.to_dict()))['ratio']['1'][0] == pytest.approx(one.ratio(1))
    header, _, row, _, note, *_ = markdown(found).splitlines()
    assert header.count('|') == row.count('|')
    assert '| torchvision |' in row
    assert note.startswith('Milliseconds, medians; outputs agree within')


@pytest.mark.long
@pytest.mark.usefixtures('torchvision_models')
def test_all_pairs():
    for one in compare_pairs(list(PAIRS), threads=[1], seconds=0.1, repeats=1):
        assert one.difference < 1e-5


def test_repeats_that_differ_are_flagged():
    steady, unsteady = Latency.of([[2.0], [2.0]]), Latency.of([[4.0], [5.0]])
    times = dict.fromkeys(SIDES, steady)
    assert '±' not in markdown([Compared('x', 'y', '1 x 1', 0.0, {1: times})])
    lines = markdown([Compared('x', 'y', '1 x 1', 0.0, {1: times | {'theirs': unsteady}})]).splitlines()
    assert '| 2.0 | 4.5 ± 25% | 2.0 | 0.44 |' in lines[2]
    assert lines[-1] == '± where the repeats differ by more than 3 %.'


def test_bad_input(monkeypatch):
    with pytest.raises(InputError, match='--pairs resnet: allowed are efficientdet-d0'):
        compare_pairs(['resnet'])

    def broken():
        pair = nas_fpn(stacks=1, channels=8, size=256)
        pair.ours.laterals[0].conv.weight.data += 1
        return pair

    monkeypatch.setitem(PAIRS, 'nas-fpn', broken)
    with pytest.raises(InputError, match='NAS-FPN 1 @ 8: differs from that of mmdet by'):
        compare_pairs(['nas-fpn'])
