"""Feature graphs: published wirings, the rules of validation, conversion."""

import json

import pytest

from mmlight.errors import InputError
from mmlight.tables import (
    FeatureGraph,
    Node,
    bifpn,
    build_graph,
    fpn,
    fully_connected,
    nas_fpn,
    pafpn,
    repeat,
)


def wiring(graph):
    return [(node.level, list(node.inputs)) for node in graph.nodes]


TOP_DOWN = [(7, [4]), (6, [3, 5]), (5, [2, 6]), (4, [1, 7]), (3, [0, 8])]


def test_bifpn():
    """docs/specs/efficientdet.md, "Graphs" (google/automl)."""
    nodes = [(6, [3, 4]), (5, [2, 5]), (4, [1, 6]), (3, [0, 7]),
             (4, [1, 7, 8]), (5, [2, 6, 9]), (6, [3, 5, 10]), (7, [4, 11])]  # fmt: skip
    assert wiring(bifpn()) == nodes
    assert bifpn().outputs == (8, 9, 10, 11, 12)
    inputs = [(4, 5), (3, 6), (2, 7), (1, 8), (0, 9), (1, 9, 10), (2, 8, 11), (3, 7, 12), (4, 6, 13), (5, 14)]
    assert [node.inputs for node in bifpn(3, 8).nodes] == inputs
    assert {node.merge for node in bifpn().nodes} == {'fast'}


def test_fpn_and_pafpn():
    """docs/specs/efficientdet.md, "Graphs"."""
    assert wiring(fpn()) == TOP_DOWN
    bottom_up = [(3, [9]), (4, [8, 10]), (5, [7, 11]), (6, [6, 12]), (7, [5, 13])]
    assert wiring(pafpn()) == TOP_DOWN + bottom_up
    assert pafpn().outputs == (10, 11, 12, 13, 14)


def test_fully_connected():
    assert wiring(fully_connected()) == [(level, [0, 1, 2, 3, 4]) for level in (3, 4, 5, 6, 7)]


def test_nas_fpn():
    """docs/specs/efficientdet.md, "Graphs", with the addends of the leftover rule."""
    sums, attention = 'sum', 'attention'
    cells = [
        (4, attention, (1, 3), ()),
        (4, sums, (1, 5), ()),
        (3, sums, (0, 6), ()),
        (4, sums, (6, 7), ()),
        (5, attention, (7, 8), (2,)),
        (7, attention, (6, 9), (4,)),
        (6, attention, (9, 10), ()),
    ]
    assert [(node.level, node.merge, node.inputs, node.leftovers) for node in nas_fpn().nodes] == cells
    assert nas_fpn().outputs == (7, 8, 9, 11, 10)
    with pytest.raises(InputError, match="attention must be 'tf' or 'mmdet', got 'max'"):
        nas_fpn('max')


def test_mmdet_form_has_as_many_blocks():
    assert sum(node.block is not None for node in nas_fpn('mmdet').nodes) == 7
    assert nas_fpn('mmdet').output_levels == (3, 4, 5, 6, 7)


@pytest.mark.parametrize('build', [fpn, pafpn, bifpn, fully_connected, nas_fpn])
def test_a_graph_survives_json(build):
    graph = build()
    assert FeatureGraph.from_dict(json.loads(json.dumps(graph.to_dict()))) == graph
    short = {
        **graph.to_dict(),
        'nodes': [[n.level, list(n.inputs), n.merge, n.block, list(n.leftovers)] for n in graph.nodes],
    }
    assert FeatureGraph.from_dict(short) == graph
    assert build_graph(graph.to_dict(), 3, 7) == graph


def test_properties():
    graph = bifpn(3, 5)
    assert graph.levels == (3, 4, 5, 4, 3, 4, 5)
    assert graph.output_levels == (3, 4, 5)
    assert graph.edges == ((1, 3), (2, 3), (0, 4), (3, 4), (1, 5), (3, 5), (4, 5), (2, 6), (5, 6))
    assert [graph.name(i) for i in range(7)] == ['P3', 'P4', 'P5', 'P4.1', 'P3.1', 'P4.2', 'P5.1']


def test_repeat():
    twice = repeat(bifpn(), 2)
    assert len(twice.nodes) == 16
    assert twice.nodes[8].inputs == (11, 12), 'P6 and P7 of the first cell'
    assert twice.nodes[15].inputs == (12, 19)
    assert twice.outputs == (16, 17, 18, 19, 20)
    # NAS-FPN's outputs are not in the order of its nodes
    assert repeat(nas_fpn(), 2).nodes[7].inputs == (8, 11), 'P4 and P6 of the first stack'
    assert repeat(nas_fpn(), 2).nodes[11].leftovers == (9,), 'P5 of the first stack'
    assert repeat(bifpn(), 1) == bifpn()
    with pytest.raises(InputError, match='times must be an integer of at least 1, got 0'):
        repeat(bifpn(), 0)
    with pytest.raises(InputError, match=r'must have the levels of the inputs, got \(3,\) and \(3, 4\)'):
        repeat(FeatureGraph((3, 4), (Node(3, (0, 1)),), (2,)), 2)


def test_merge_of_all_nodes():
    assert {node.merge for node in build_graph('pafpn', 3, 7, 'softmax').nodes} == {'softmax'}
    assert {node.merge for node in build_graph(fpn(), 3, 7, 'fast').nodes} == {'fast'}
    assert build_graph('bifpn', 2, 5) == bifpn(2, 5)


GOOD = {'inputs': [3, 4, 5], 'nodes': [[4, [1, 2]], [3, [0, 3]], [4, [3, 4]]], 'outputs': [4, 5]}


def broken(**changes):
    return {**GOOD, **changes}


def nodes(position, *node):
    return {'nodes': [list(node) if i == position else n for i, n in enumerate(GOOD['nodes'])]}


def test_the_graph_that_is_broken_below_is_a_graph():
    assert FeatureGraph.from_dict(GOOD).output_levels == (3, 4)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (broken(**nodes(1, 3, [0, 4])), r'node 1 \(feature 4, level 3\): reads feature 4, allowed are .* 0 to 3'),
        (broken(**nodes(0, 4, [1, -1])), r'node 0 \(feature 3, level 4\): reads feature -1'),
        (broken(**nodes(1, 3, [0, 0])), r'node 1 \(feature 4, level 3\): reads a feature twice'),
        (broken(**nodes(1, 3, [0, 3], 'sum', None, [3])), r'node 1 .*: reads a feature twice, it reads \[0, 3, 3\]'),
        (broken(**nodes(1, 3, [0, 3], 'sum', None, [2])), r'node 1 .*: leftover 2 is of level 5, must be of its own'),
        (
            broken(**nodes(1, 3, [0, 1, 3], 'attention')),
            r"'attention' takes at most 2 input\(s\), got \[0, 1, 3\]",
        ),
        (broken(**nodes(1, 3, [])), r"node 1 .*: merge 'sum' needs at least 1"),
        (broken(**nodes(1, 3, [0], 'attention')), r"node 1 .*: merge 'attention' needs at least 2 .*got \[0\]"),
        (broken(**nodes(1, 3, [0, 3], 'mean')), r"node 1 .*: unknown merge 'mean', known are sum, fast, softmax,"),
        (broken(**nodes(1, 3, [0, 3], ['sum'])), r"node 1 .*: unknown merge \['sum'\], known are"),
        (broken(**nodes(1, 3, [0, 3], 'sum', ['conv'])), r"node 1 .*: block must be a name or None, got \['conv'\]"),
        (broken(**nodes(0, 6, [1, 2])), r'node 0 \(feature 3, level 6\): its level is outside the range 3 to 5'),
        (broken(**nodes(0, 2, [1, 2])), r'node 0 \(feature 3, level 2\): its level is outside the range 3 to 5'),
        (broken(**nodes(0, '4', [1, 2])), r"node 0 \(feature 3\): level must be an integer from 0, got '4'"),
        (broken(**nodes(1, 3, [0, 1]), outputs=[4]), r'node 2 \(feature 5, level 4\): is unused'),
        (broken(outputs=[4, 3, 5]), r'level 4 comes out twice, as feature 3 and feature 5'),
        (broken(outputs=[4, 2]), r'no feature of level 4 comes out, but of \[3, 5\]'),
        (broken(outputs=[5, 4]), r'outputs must stand in the order of their levels, got levels \[4, 3\]'),
        (broken(outputs=[4, 9]), r'feature 9 cannot come out, the features are 0 to 5'),
        (broken(outputs=[]), r'outputs must name at least one'),
        (broken(inputs=[]), r'inputs must be one or more levels'),
        (broken(inputs='345'), r"inputs must be a list, got '345'"),
        (broken(nodes=5), 'nodes must be a list, got 5'),
        (broken(**nodes(1, 3, [[0]])), r'inputs of a node must be integers, got \[\[0\]\]'),
        (broken(nodes=[[4]]), r'node 0 must be a dict .* or a list .* got \[4\]'),
        (broken(nodes=[{'level': 4, 'inputs': [0], 'op': 'sum'}]), r'node 0 must be a dict'),
        ({'inputs': [3]}, r"needs a dict with inputs, nodes and outputs, got \['inputs'\]"),
        (['fpn'], r"needs a dict with inputs, nodes and outputs, got .*'fpn'"),
    ],
)
def test_what_is_wrong_is_named(content, message):
    with pytest.raises(InputError, match=message):
        FeatureGraph.from_dict(content)


@pytest.mark.parametrize('inputs', [(-1,), ('3',), (3, 4.0), ()])
def test_levels_that_come_in(inputs):
    with pytest.raises(InputError, match='inputs must be one or more levels'):
        FeatureGraph(inputs, (Node(3, (0,)),), (1,))
    assert FeatureGraph((0,), (Node(0, (0,)),), (1,)).output_levels == (0,)


WEIGHTED = ('fast', 'softmax', 'unbounded', 'channel_fast', 'channel_softmax')


@pytest.mark.parametrize('merge', ['sum', *WEIGHTED, 'attention', 'attention_mmdet'])
def test_least_inputs(merge):
    """A weighted sum of one map is a map; attention is between two."""
    least = 2 if merge.startswith('attention') else 1
    assert FeatureGraph((3, 3), (Node(3, (0, 1)[:least], merge),), (2,))
    with pytest.raises(InputError, match=f'needs at least {least} '):
        FeatureGraph((3, 3), (Node(3, (0, 1)[: least - 1], merge),), (2,))


def test_needed():
    """Of GOOD, whose node 4 reads input 0 and node 3, which reads inputs 1 and 2; the last node reads both nodes."""
    graph = FeatureGraph.from_dict(GOOD)
    assert graph.needed([4]) == {0, 1, 2, 3, 4}
    assert graph.needed([3]) == {1, 2, 3}
    assert graph.needed([5]) == {0, 1, 2, 3, 4, 5}


def test_a_graph_is_a_value():
    assert len({bifpn(), bifpn(), pafpn()}) == 2


def test_lists_are_as_good_as_tuples():
    assert FeatureGraph([3, 4], [Node(3, [0, 1])], [2]) == FeatureGraph((3, 4), (Node(3, (0, 1)),), (2,))


def test_unknown_names():
    with pytest.raises(InputError, match="unknown graph 'bifnp', known are fpn, pafpn, bifpn, fully_conn"):
        build_graph('bifnp', 3, 7)
    with pytest.raises(InputError, match='0 <= low < high, got 7 to 3'):
        bifpn(7, 3)
