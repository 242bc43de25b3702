"""NASNet's cells as pictures (matplotlib)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mmlight.errors import InputError
from mmlight.tables.cells import CellBlock, Cells

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STATES = ('the cell\nbefore', 'the one\nbefore it')
COLOURS = {'add': '#8ecae6', 'concat': '#ffb703'}


def columns(blocks: Sequence[CellBlock]) -> list[int]:
    """The column of every state: the two inputs in 0, a block right of what it reads."""
    found = [0, 0]
    for block in blocks:
        found.append(1 + max(found[source] for source in block.inputs))
    return found


def draw_cells(networks: Mapping[str, Cells], path: str | os.PathLike | None = None) -> Figure:
    """Draw networks of cells, a row each: the normal cell and the reduction cell.

    Arrows carry the operations, a block's colour is its combination, a thick outline marks what comes out.

    Args:
        networks: Title to cells.
        path: Picture to write, its suffix names the format; none without.

    Raises:
        InputError: no cells were given.
    """
    from matplotlib.figure import Figure

    if not networks:
        raise InputError('draw_cells: no cells were given')
    figure = Figure(figsize=(15, 4.5 * len(networks)), layout='constrained')
    grid = figure.subplots(len(networks), 2, squeeze=False)
    for (title, cells), row in zip(networks.items(), grid, strict=True):
        for kind, axes in zip(('normal', 'reduction'), row, strict=True):
            _draw_one(axes, getattr(cells, kind))
            axes.set_title(f'{title}, {kind} cell'.removeprefix(', '))
    if path is not None:
        figure.savefig(path, dpi=100)
    return figure


def _draw_one(axes: Axes, blocks: Sequence[CellBlock]) -> None:
    from matplotlib.patches import FancyArrowPatch

    xs = columns(blocks)
    spots: list[tuple[float, float]] = []
    for index, column in enumerate(xs):
        place, others = xs[:index].count(column), xs.count(column)
        y = (others - 1) / 2 - place + (0, 0.7, -0.7)[column % 3]  # neighbours not on one line
        spots.append((float(column), y))
    outputs = Cells.outputs(tuple(blocks))
    for index, (x, y) in enumerate(spots):
        combine = blocks[index - 2].combine if index >= 2 else ''
        style = dict(
            boxstyle='round', facecolor=COLOURS.get(combine, '#d9d9d9'), linewidth=2.2 * (index in outputs) or 0.8
        )
        label = f'{index}\n{combine}' if combine else STATES[index]
        axes.text(x, y, label, ha='center', va='center', fontsize=8, zorder=3, bbox=style)
    for target, block in enumerate(blocks, 2):
        for side, (source, op) in enumerate(zip(block.inputs, block.ops, strict=True)):
            bend = (0.12, -0.12)[side]
            start, end = spots[source], spots[target]
            arrow: dict[str, Any] = dict(
                arrowstyle='-|>', mutation_scale=9, color='0.4', shrinkA=14, shrinkB=14, zorder=1
            )
            axes.add_patch(FancyArrowPatch(start, end, connectionstyle=f'arc3,rad={bend}', **arrow))
            along = (0.75, 0.42)[side]  # apart from each other; the rest is where arc3 runs
            x, y = (a + along * (b - a) for a, b in zip(start, end, strict=True))
            off = 2 * bend * along * (1 - along)
            spot = (x + off * (end[1] - start[1]), y - off * (end[0] - start[0]))
            white = dict(facecolor='white', edgecolor='none', pad=0.5, alpha=0.8)
            axes.text(*spot, op.replace('_', ' '), ha='center', va='center', fontsize=6, zorder=2, bbox=white)
    low, high = min(y for _, y in spots), max(y for _, y in spots)
    axes.set(xlim=(-0.5, max(xs) + 0.5), ylim=(low - 0.6, high + 0.6))
    axes.axis('off')
