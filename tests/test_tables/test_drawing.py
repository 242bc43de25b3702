"""Drawings of feature graphs hold every node and edge."""

import re
from collections import Counter
from itertools import pairwise
from math import hypot

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.bezier import BezierSegment
from matplotlib.patches import Circle, FancyArrowPatch, RegularPolygon

from mmlight.errors import InputError
from mmlight.registry import MERGES
from mmlight.tables import bifpn, draw, fpn, nas_fpn, pafpn, repeat, to_dot
from mmlight.tables.drawing import RADIUS, columns
from mmlight.tables.scale_permuted import (
    FISH,
    HOURGLASS,
    R0_SP53,
    R23_SP30,
    SPINENET_49,
    SPINENET_MOBILE,
    sequential,
    without_long_range,
    without_short_range,
)

GRAPHS = {'FPN': fpn(), 'PANet': pafpn(), 'NAS-FPN': nas_fpn(), 'BiFPN': bifpn(), 'BiFPN x 3': repeat(bifpn(), 3)}
TABLES = {
    'SpineNet-49': SPINENET_49, 'R0-SP53': R0_SP53, 'R23-SP30': R23_SP30, 'Hourglass': HOURGLASS, 'Fish': FISH,
    'mobile': SPINENET_MOBILE, 'no short': without_short_range(R0_SP53), 'no long': without_long_range(R0_SP53),
    'sequential': sequential(R0_SP53),
}  # fmt: skip


@pytest.mark.parametrize('graph', GRAPHS.values(), ids=GRAPHS)
def test_columns_are_an_order_of_computation(graph):
    spots = list(zip(columns(graph), graph.levels, strict=True))
    assert len(set(spots)) == len(spots), 'no two nodes in one spot'
    assert all(spots[source][0] <= spots[target][0] for source, target in graph.edges)


def test_picture(tmp_path):
    figure = draw(GRAPHS, tmp_path / 'all.png', per_row=3)
    assert (tmp_path / 'all.png').stat().st_size > 10_000
    axes = figure.axes[0]
    circles = [patch for patch in axes.patches if isinstance(patch, Circle)]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(circles) == sum(len(graph.levels) for graph in GRAPHS.values())
    assert len(arrows) == sum(len(graph.edges) for graph in GRAPHS.values())
    centres = {(round(c.center[0], 3), round(c.center[1], 3)) for c in circles}
    assert len(centres) == len(circles), 'none hides another'
    assert set(GRAPHS) <= {text.get_text() for text in axes.texts}


@pytest.mark.parametrize('name', [*GRAPHS, *TABLES])
def test_no_edge_runs_through_a_node(name):
    drawn = GRAPHS[name] if name in GRAPHS else TABLES[name]
    graph = drawn if name in GRAPHS else drawn.graph(prune=True)
    stem = [] if name in GRAPHS else list(pairwise(range(len(graph.inputs))))
    axes = draw(drawn, compact=name in GRAPHS).axes[0]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    spots = {int(text.get_text()): text.get_position() for text in axes.texts if text.get_text().isdigit()}
    hidden = []
    for (source, target), arrow in zip([*stem, *graph.edges], arrows, strict=True):
        path = arrow.get_connectionstyle()(spots[source], spots[target], shrinkA=0, shrinkB=0)
        line = [BezierSegment(path.vertices)(step / 50) for step in range(51)]
        others = [spot for index, spot in spots.items() if index not in (source, target)]
        if any(hypot(x - ox, y - oy) < RADIUS for x, y in line for ox, oy in others):
            hidden.append((source, target))
    assert hidden == []


def test_the_block_is_the_shape():
    shapes = Counter(
        (patch.numvertices, round(patch.orientation, 1))
        for patch in draw(SPINENET_49).axes[0].patches
        if isinstance(patch, RegularPolygon)
    )
    assert shapes == {(4, 0.8): 13, (4, 0.0): 4}, 'rectangles are bottlenecks, diamonds residual blocks'
    labels = {text.get_text() for text in draw(SPINENET_49).legends[0].get_texts()}
    assert {'stem', 'bottleneck', 'residual'} <= labels
    assert 'mbconv' not in labels


def test_one_colour_per_merge():
    colours = [merge.colour for merge in MERGES.module_dict.values()]
    assert len(set(colours)) == len(colours) >= 8


@pytest.mark.parametrize('graph', [fpn(), nas_fpn('mmdet'), bifpn(0, 19)], ids=['narrow', 'mmdet', 'high'])
def test_the_legend_is_inside_the_picture(graph):
    figure = draw(graph)
    FigureCanvasAgg(figure).draw()
    (legend,) = figure.legends
    box, whole = legend.get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0
    assert box.x1 <= whole.x1
    assert whole.y0 <= box.y0
    labels = {text.get_text() for text in legend.get_texts()}
    assert ('merge only' in labels) == any(node.block is None for node in graph.nodes)


def test_nothing_to_draw():
    with pytest.raises(InputError, match=r'needs a graph, or a dict of title to graph, got .bifpn.'):
        draw('bifpn')
    with pytest.raises(InputError, match='no graph was given'):
        draw({})


def test_dot():
    text = to_dot(bifpn())
    assert re.findall(r'f(\d+) -> f(\d+) \[constraint', text) == [(str(a), str(b)) for a, b in bifpn().edges]
    assert text.count('penwidth=3') == 5
    assert text.count('fillcolor="#ffb703"') == 8
    assert text.count('rank=same') == 5
