"""What :mod:`mmlight.measure.layer_costs` found, as text and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from mmlight.measure.guidelines import MARGIN, REGULAR_FRAGMENTS
from mmlight.measure.layer_costs import ELEMENT_WISE, ROOT, Block, Layer, LayerCosts

COLOURS = {
    'dense': '#1d4e89',
    '1x1': '#00a6a6',
    'grouped': '#90be6d',
    'depthwise': '#f9c74f',
    'matrix': '#8d5524',
    'pooling': '#e377c2',
    'normalisation': '#f3722c',
    'element-wise': '#b23a48',
    'copying': '#6d597a',
    'other': '#999999',
}


def text(costs: LayerCosts, rows: int = 20, worst: int = 3) -> str:
    """Totals, shares of each kind of operator, the ``rows`` most expensive layers, and the guidelines with the
    ``worst`` layers that break each; 0 rows: all layers in the order of the network."""
    return '\n\n'.join([_head(costs), _kinds(costs), _layers(costs, rows), _guidelines(costs, worst)])


def _head(costs: LayerCosts) -> str:
    height, width = costs.shape
    rois = f', {costs.rois} RoIs' if costs.rois else ''
    lines = [
        f'{costs.name}, input 3 x {height} x {width}, batch 1{rois}',
        f'Parameters: {costs.parameters}',
        f'Multiply-adds (MACs): {costs.macs / 1e6:.2f} M',
        f'Memory access cost: {costs.accesses / 1e6:.2f} M elements read and written',
    ]
    if costs.latency:
        calls, spread = sum(repeat.calls for repeat in costs.latency.repeats), 100 * costs.latency.spread
        lines.append(f'Latency: {costs.latency.p50:.2f} ms (median of {calls} runs, spread of thirds {spread:.0f} %)')
        lines.append(f'Sum over the operators, each timed on its own: {costs.ms:.2f} ms')
        lines.append('Measured on: ' + ', '.join(f'{key} {value}' for key, value in costs.machine.items()))
    if costs.not_counted:
        names = ', '.join(f'{name} x {calls}' for name, calls in costs.not_counted.items())
        lines.append(f'Not counted: {names}')
    return '\n'.join(lines)


def _kinds(costs: LayerCosts) -> str:
    rows = [['kind', 'operators', *_cost_titles(costs)]]
    rows += [[each.kind, str(each.operators), *_cost_cells(each, costs)] for each in costs.by_kind()]
    return table(rows, left=1)


def _layers(costs: LayerCosts, number: int) -> str:
    layers = sorted(costs.layers, key=_expense, reverse=True)[:number] if number else costs.layers
    rows = [['layer', 'kind', 'sizes', *_cost_titles(costs), 'over bound', 'breaks']]
    for layer in layers:
        factor = f'{layer.factor:.2f}' if layer.factor else ''
        row = [layer.name or ROOT, layer.kind, _sizes(layer), *_cost_cells(layer, costs), factor]
        rows.append([*row, ' '.join(layer.breaks)])
    what = 'time' if costs.latency else 'memory access'
    title = f'The {len(layers)} layers with the most {what}, of {len(costs.layers)}:\n' if number else ''
    return title + table(rows, left=3)


def _sizes(layer: Layer) -> str:
    """Sizes of the first convolution, and how many more there are."""
    first, others = [*map(str, layer.convolutions[:1]), ''][0], len(layer.convolutions) - 1
    return first + (f' (+ {others})' if others > 0 else '')


def _expense(layer: Layer) -> float:
    return layer.accesses if layer.ms is None else layer.ms


def _cost_titles(costs: LayerCosts) -> list[str]:
    return ['MACs (M)', '%', 'memory (M)', '%', *(['ms', '%'] if costs.latency else [])]


def _cost_cells(layer: Layer, costs: LayerCosts) -> list[str]:
    cells = [f'{layer.macs / 1e6:.2f}', _percent(layer.macs, costs.macs)]
    cells += [f'{layer.accesses / 1e6:.2f}', _percent(layer.accesses, costs.accesses)]
    return [*cells, f'{layer.ms:.3f}', _percent(layer.ms, costs.ms)] if costs.latency else cells


def _percent(part: float | None, whole: float | None) -> str:
    return f'{100 * (part or 0) / whole:.1f}' if whole else '-'


def _guidelines(costs: LayerCosts, worst: int) -> str:
    pointwise = [layer for layer in costs.layers if any(c.is_pointwise for c in layer.convolutions)]
    grouped = [layer for layer in costs.layers if layer.kind == 'grouped']
    lines = ['Guidelines (ShuffleNet V2, arXiv 1807.11164, section 2)']
    lines += _over_bound(costs, 'G1', 'equal widths', pointwise, '1x1 convolutions', worst)
    lines += _over_bound(costs, 'G2', 'few groups', grouped, 'grouped convolutions', worst)
    fragmented = [block for block in costs.blocks if block.fragments > REGULAR_FRAGMENTS]
    lines.append(
        f'G3 few fragments: {len(fragmented)} of {len(costs.blocks)} blocks have more than {REGULAR_FRAGMENTS} '
        f'convolutions, matrix products and poolings{_shares(fragmented, costs)}'
    )
    for block in sorted(fragmented, key=lambda each: each.fragments, reverse=True)[:worst]:
        lines.append(
            f'   {block.name}: {block.fragments} fragments (regular: 2 or 3), {block.serial} in a row, up to '
            f'{block.parallel} side by side, {block.macs / block.fragments / 1e6:.2f} M MACs each'
        )
    element_wise = [layer for layer in costs.layers if layer.kind in ELEMENT_WISE]
    lines.append(f'G4 few element-wise operators (lower bound 0: fused or left out){_shares(element_wise, costs)}')
    for kind in ELEMENT_WISE:
        if found := [layer for layer in element_wise if layer.kind == kind]:
            lines.append(f'   {kind}, {sum(layer.operators for layer in found)} operators{_shares(found, costs)}')
    return '\n'.join(lines)


def _over_bound(costs: LayerCosts, name: str, title: str, layers: list[Layer], what: str, worst: int) -> list[str]:
    if not layers:
        return [f'{name} {title}: no {what}']
    found = [layer for layer in layers if name in layer.breaks]
    head = f'{name} {title}: {len(found)} of {len(layers)} {what} read and write over {MARGIN} x the lower bound'
    lines = [head + _shares(found, costs)]
    for layer in sorted(found, key=lambda each: each.factor or 0, reverse=True)[:worst]:
        accesses, first = sum(c.accesses for c in layer.convolutions), layer.convolutions[0]
        line = f'   {layer.name}: {_sizes(layer)}: {accesses} elements, lower bound {layer.bound:.0f}'
        if layer.kind == 'grouped':
            line += f', {first.width_factor:.2f} x by widths, {first.group_factor:.2f} x by groups'
        lines.append(f'{line}, {layer.factor:.2f} x')
    return lines


def _shares(found: Sequence[Layer | Block], costs: LayerCosts) -> str:
    if not found:
        return ''
    shares = [f'{_percent(sum(each.macs for each in found), costs.macs)} % of the MACs']
    layers = [each for each in found if isinstance(each, Layer)]
    if len(layers) == len(found):
        shares.append(f'{_percent(sum(each.accesses for each in layers), costs.accesses)} % of the memory access')
    if costs.latency:
        shares.append(f'{_percent(sum(each.ms or 0 for each in found), costs.ms)} % of the time')
    return ': ' + ', '.join(shares)


def table(rows: Sequence[Sequence[str]], left: int) -> str:
    """Rows of cells in columns, the first row above a rule; the first ``left`` columns are aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned: list[Callable] = [str.ljust] * left + [str.rjust] * (len(widths) - left)
    lines = ['  '.join(f(*pair) for f, *pair in zip(aligned, row, widths, strict=True)).rstrip() for row in rows]
    return '\n'.join([lines[0], '  '.join('-' * width for width in widths), *lines[1:]])


def plot(costs: LayerCosts, out: str | Path, depth: int | None = None) -> None:
    """Draw the share of the time (memory access, where not timed) against that of the multiply-adds.

    On the left one dot a layer, above the diagonal where it takes more than its multiply-adds let expect; on the right
    the shares of each part of the network and of each kind of operator.

    Args:
        costs: what was counted and timed.
        out: the picture's file.
        depth: levels of the module tree that tell parts apart; by default the first that gives four or more.
    """
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, axes = plt.subplot_mosaic([['dots', 'kinds'], ['dots', 'parts']], figsize=(13, 7), layout='constrained')
    height, width = costs.shape
    timed = f', {costs.latency.p50:.1f} ms on {costs.machine["device"]}' if costs.latency else ''
    figure.suptitle(f'{costs.name}, {height} x {width}: {costs.macs / 1e6:,.0f} M multiply-adds{timed}')
    _plot_dots(axes['dots'], costs)
    if depth is None:
        depth = next((d for d in range(1, 4) if len(costs.by_group(d)) >= 4), 1)
    _plot_bars(axes['kinds'], costs, costs.by_kind())
    _plot_bars(axes['parts'], costs, [part for part in costs.by_group(depth) if part.accesses > 1e-3 * costs.accesses])
    axes['kinds'].legend(frameon=False)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)
    plt.close(figure)


def _plot_dots(axes, costs: LayerCosts) -> None:
    whole = costs.ms or costs.accesses
    share = [100 * _expense(layer) / whole for layer in costs.layers]
    macs = [100 * layer.macs / costs.macs for layer in costs.layers]
    least = min([value for value in macs if value] + [100.0]) / 2
    none = least / 2  # layers without multiply-adds stand left of the logarithmic axis' last tick
    for kind, colour in COLOURS.items():
        dots = [(x or none, y) for layer, x, y in zip(costs.layers, macs, share, strict=True) if layer.kind == kind]
        if dots:
            axes.scatter(*zip(*dots, strict=True), color=colour, label=kind, s=28, alpha=0.8, linewidths=0)
    top = 1.3 * max([*share, *macs])
    axes.plot([least, top], [least, top], color='black', linewidth=0.8)
    axes.set(xscale='log', yscale='log', xlim=(none / 1.5, top), ylim=(min(filter(None, share)) / 1.3, top))
    axes.axvline(least, color='grey', linewidth=0.8, linestyle=':')
    axes.set_xlabel('share of the multiply-adds, % (left of the dotted line: none)')
    axes.set_ylabel(f'share of the {"time" if costs.latency else "memory access"}, %')
    axes.set_title('layers; on the line, time follows multiply-adds' if costs.latency else 'layers', fontsize=10)
    axes.legend(frameon=False, fontsize=9)


def _plot_bars(axes, costs: LayerCosts, parts: Sequence[Layer]) -> None:
    bars = [
        ('multiply-adds', '#1d4e89', [100 * part.macs / max(costs.macs, 1) for part in parts]),
        ('memory access', '#f9c74f', [100 * part.accesses / costs.accesses for part in parts]),
    ]
    if costs.ms:
        bars.append(('time', '#b23a48', [100 * (part.ms or 0) / costs.ms for part in parts]))
    for index, (label, colour, values) in enumerate(bars):
        axes.barh([row + 0.27 * (index - 1) for row in range(len(parts))], values, 0.27, color=colour, label=label)
    axes.set_yticks(range(len(parts)), [part.name for part in parts])
    axes.invert_yaxis()
    axes.set_xlabel('share, %')
    axes.spines[['top', 'right']].set_visible(False)
