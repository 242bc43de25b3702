"""Feature graphs as pictures (matplotlib) and as Graphviz text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import pairwise
from math import hypot, pi
from typing import TYPE_CHECKING

from mmlight.errors import InputError
from mmlight.registry import MERGES
from mmlight.tables.feature_graph import FeatureGraph
from mmlight.tables.scale_permuted import ScalePermuted

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

INPUT_COLOUR = '#d9d9d9'
SAME_LEVEL, COARSER, FINER = '#555555', '#1d4e89', '#b23a48'  # edges
SHAPES = {'bottleneck': 's', 'residual': 'D', 'mbconv': 'h'}
"""Matplotlib markers of the blocks that are not circles; as in arXiv 1912.05027, Fig. 4."""

RADIUS = 0.27
BENDS = (0.0, 0.1, -0.1, 0.15, -0.15, 0.2, -0.2, 0.25, -0.25, 0.35, -0.35, 0.45, -0.45)
"""How far an edge may be bent, as a part of its length."""


def columns(graph: FeatureGraph, compact: bool = True) -> list[int]:
    """The column of every feature in a drawing: inputs in 0, a node right of all that it reads, and no two features of
    a level in one column. Not compact: one column a feature."""
    if not compact:
        return list(range(len(graph.levels)))
    result = [graph.inputs[:index].count(level) for index, level in enumerate(graph.inputs)]
    for node in graph.nodes:
        own_level = [result[i] for i, level in enumerate(graph.levels[: len(result)]) if level == node.level]
        # a neighbouring level's node may stand in the same column: the edge between them is then vertical
        above = [result[source] + (graph.levels[source] == node.level) for source in node.sources]
        result.append(max([*above, *(column + 1 for column in own_level), 1]))
    return result


def draw(
    graphs: FeatureGraph | ScalePermuted | Mapping[str, FeatureGraph | ScalePermuted],
    path: str | os.PathLike | None = None,
    per_row: int = 4,
    compact: bool = True,
) -> Figure:
    """Draw one graph, or several side by side with their titles.

    Columns are the order of computation, rows the levels, the finest at the bottom. A node's colour is its merge, its
    shape its block; a thick outline marks what comes out, a dashed one a node without a block. A scale-permuted network
    is drawn as it is built, without blocks that nothing reads, and with its stem's blocks one after the other.

    Args:
        graphs: A graph or a scale-permuted network, or title to such.
        path: Picture to write, its suffix names the format; none without.
        per_row: Graphs in a row of the picture.
        compact: Put features into one column where they fit; else each has its own, as in the figures of SpineNet.

    Raises:
        InputError: no graph was given.
    """
    from matplotlib.figure import Figure

    kinds = (FeatureGraph, ScalePermuted)
    given = {'': graphs} if isinstance(graphs, kinds) else graphs
    if not isinstance(given, Mapping) or not all(isinstance(graph, kinds) for graph in given.values()):
        raise InputError(f'draw: needs a graph, or a dict of title to graph, got {graphs!r}')
    if not given:
        raise InputError('draw: no graph was given')
    stems = {title: table.stem_kind for title, table in given.items() if isinstance(table, ScalePermuted)}
    drawn = {title: g.graph(prune=True) if isinstance(g, ScalePermuted) else g for title, g in given.items()}
    # one coordinate system for all, so that a node has the same size everywhere
    titles = list(drawn)
    spans = {title: max(columns(graph, compact)) for title, graph in drawn.items()}
    rows = [titles[start : start + per_row] for start in range(0, len(titles), per_row)]
    heights = [max(_levels(drawn[title]) for title in row) + 1.2 for row in rows]
    widths = [sum(spans[title] + 2.2 for title in row) for row in rows]
    figure = Figure(figsize=(max(0.75 * max(widths), 4.5), 0.75 * sum(heights) + 0.4), layout='constrained')
    axes = figure.add_subplot()
    y = sum(heights)
    for row, height in zip(rows, heights, strict=True):
        x, y = 0.0, y - height
        for title in row:
            graph = drawn[title]
            _draw_one(
                axes, graph, columns(graph, compact), title, x + 1, y + height - _levels(graph) - 0.5, stems.get(title)
            )
            x += spans[title] + 2.2
    axes.set(xlim=(0, max(widths)), ylim=(0, sum(heights)), aspect='equal')
    axes.axis('off')
    nodes = [node for graph in drawn.values() for node in graph.nodes]
    merges = {node.merge for node in nodes}
    blocks = {node.block for node in nodes} | set(stems.values())
    _legend(figure, [merge for merge in MERGES.module_dict if merge in merges], blocks, len(stems) == len(drawn))
    if path is not None:
        figure.savefig(path, dpi=120)
    return figure


def _levels(graph: FeatureGraph) -> int:
    return max(graph.levels) - min(graph.levels) + 1


def _draw_one(
    axes: Axes, graph: FeatureGraph, xs: list[int], title: str, left: float, bottom: float, stem: str | None
) -> None:
    from matplotlib.patches import FancyArrowPatch

    low, high = min(graph.levels), max(graph.levels)
    spots = [(left + column, bottom + level - low) for column, level in zip(xs, graph.levels, strict=True)]
    shapes = []
    for index, (x, y) in enumerate(spots):
        node = graph.nodes[index - len(graph.inputs)] if index >= len(graph.inputs) else None
        style = dict(
            facecolor=MERGES.get(node.merge).colour if node else INPUT_COLOUR,
            edgecolor='black',
            linewidth=2.2 if index in graph.outputs else 0.8,
            linestyle='--' if node and node.block is None else '-',
            zorder=2,
        )
        shapes.append(axes.add_patch(_shape(node.block if node else stem, (x, y), style)))
        axes.text(x, y, str(index), ha='center', va='center', fontsize=11, zorder=3)
    chain = tuple(pairwise(range(len(graph.inputs)))) if stem else ()
    for source, target in (*chain, *graph.edges):
        (x0, y0), (x1, y1) = spots[source], spots[target]
        others = [spot for index, spot in enumerate(spots) if index not in (source, target)]
        # the least bend that keeps clear of the other nodes
        bend = min(BENDS, key=lambda bend: _hidden((x0, y0), (x1, y1), bend, others))
        arrow = FancyArrowPatch(
            (x0, y0),
            (x1, y1),
            connectionstyle=f'arc3,rad={bend}',
            arrowstyle='-|>',
            mutation_scale=9,
            patchA=shapes[source],
            patchB=shapes[target],
            color=SAME_LEVEL if y0 == y1 else FINER if y0 > y1 else COARSER,
            linewidth=1,
            zorder=1,
        )
        axes.add_patch(arrow)
    axes.text((left + max(x for x, _ in spots)) / 2, bottom + high - low + 0.55, title, ha='center', fontsize=14)
    for level in range(low, high + 1):
        axes.text(left - 0.45, bottom + level - low, f'P{level}', ha='right', va='center', fontsize=11)


def _shape(block: str | None, centre: tuple[float, float], style: dict) -> Patch:
    from matplotlib.patches import Circle, RegularPolygon

    if block is None or block not in SHAPES:
        return Circle(centre, RADIUS, **style)
    corners, radius, turn = {'s': (4, 0.36, pi / 4), 'D': (4, 0.38, 0.0), 'h': (6, 0.31, 0.0)}[SHAPES[block]]
    return RegularPolygon(centre, corners, radius=radius, orientation=turn, **style)


def _hidden(start: tuple, end: tuple, bend: float, others: list[tuple[float, float]]) -> float:
    """How far an edge runs into other nodes or their margins, all together."""
    (x0, y0), (x1, y1) = start, end
    # matplotlib's arc3: a quadratic Bezier curve whose middle point lies off the line
    x, y = (x0 + x1) / 2 + bend * (y1 - y0), (y0 + y1) / 2 - bend * (x1 - x0)
    count = max(8, int(8 * hypot(x1 - x0, y1 - y0)))
    steps = [step / count for step in range(count + 1)]
    curve = [
        ((1 - t) ** 2 * x0 + 2 * t * (1 - t) * x + t**2 * x1, (1 - t) ** 2 * y0 + 2 * t * (1 - t) * y + t**2 * y1)
        for t in steps
    ]
    near = (min(hypot(px - ox, py - oy) for px, py in curve) for ox, oy in others)
    return round(sum(max(0.0, RADIUS + 0.07 - distance) for distance in near), 2)


def _legend(figure: Figure, merges: list[str], blocks: set[str | None], tables: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def patch(colour: str, label: str) -> Patch:
        return Patch(facecolor=colour, edgecolor='black', label=label)

    size = 8 if figure.get_figwidth() < 18 else 14
    handles: list[Artist] = [
        patch(INPUT_COLOUR, 'stem' if tables else 'input'),
        *(patch(MERGES.get(merge).colour, merge) for merge in merges),
    ]
    handles += [
        Line2D(
            [], [], linestyle='', marker=marker, markersize=size, markeredgecolor='black', color='white', label=block
        )
        for block, marker in SHAPES.items()
        if block in blocks
    ]
    handles += [
        Line2D([], [], color=colour, label=label)
        for colour, label in ((COARSER, 'to a coarser level'), (FINER, 'to a finer level'))
    ]
    handles.append(Patch(facecolor='white', edgecolor='black', linewidth=2.2, label='output'))
    if None in blocks:
        handles.append(Patch(facecolor='white', edgecolor='black', linestyle='--', label='merge only'))
    fitting = max(1, int(figure.get_figwidth() / (1.5 * size / 8)))  # inches of a label
    figure.legend(
        handles=handles, loc='outside lower center', ncols=min(len(handles), fitting), fontsize=size, frameon=False
    )


def to_dot(graph: FeatureGraph, name: str = 'features') -> str:
    """The graph in Graphviz' DOT language: one rank a level, the finest at the bottom, a node's colour is its merge."""
    quoted = name.replace('"', '\\"')
    lines = [f'digraph "{quoted}" {{', '  rankdir=TB; node [shape=circle, style=filled];']
    for index in range(len(graph.levels)):
        node = graph.nodes[index - len(graph.inputs)] if index >= len(graph.inputs) else None
        colour = MERGES.get(node.merge).colour if node else INPUT_COLOUR
        attributes = f'label="{index}\\n{graph.name(index)}", fillcolor="{colour}"'
        if node:
            attributes += f', tooltip="{node.merge}, {node.block}"'
        if index in graph.outputs:
            attributes += ', penwidth=3'
        lines.append(f'  f{index} [{attributes}];')
    for level in sorted(set(graph.levels), reverse=True):
        members = ' '.join(f'f{index};' for index, own in enumerate(graph.levels) if own == level)
        lines.append(f'  {{ rank=same; {members} }}')
    lines += [f'  f{source} -> f{target} [constraint=false];' for source, target in graph.edges]
    ordered = [next(i for i, own in enumerate(graph.levels) if own == level) for level in sorted(set(graph.levels))]
    lines += [f'  f{above} -> f{below} [style=invis];' for below, above in pairwise(ordered)]
    return '\n'.join([*lines, '}', ''])
