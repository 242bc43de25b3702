"""Drawings of feature graphs hold every node and edge."""

import re

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Circle, FancyArrowPatch

from mmlight.errors import InputError
from mmlight.graphs import bifpn, draw, fpn, nas_fpn, pafpn, repeat, to_dot
from mmlight.graphs.drawing import COLOURS, columns
from mmlight.graphs.feature_graph import MERGES

GRAPHS = {'FPN': fpn(), 'PANet': pafpn(), 'NAS-FPN': nas_fpn(), 'BiFPN': bifpn(), 'BiFPN x 3': repeat(bifpn(), 3)}


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


def test_one_colour_per_merge():
    assert set(COLOURS) == set(MERGES)
    assert len(set(COLOURS.values())) == len(MERGES)


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
    assert text.count(f'fillcolor="{COLOURS["fast"]}"') == 8
    assert text.count('rank=same') == 5
