"""Draw feature graphs side by side, by name or from a JSON file as `FeatureGraph.to_dict` makes it.

python tools/analysis_tools/draw_graph.py fpn pafpn nas_fpn bifpn --out docs/images/feature_graphs.png
python tools/analysis_tools/draw_graph.py found.json --repeat 3 --out found.pdf
python tools/analysis_tools/draw_graph.py r23-sp30 r0-sp53 spinenet-49 --spread --per-row 1 --out spinenet.png
python tools/analysis_tools/draw_graph.py bifpn --out bifpn.dot          # text for Graphviz
"""

import json
from pathlib import Path

from mmlight.arguments import Parser
from mmlight.errors import InputError, exit_on_input_error
from mmlight.registry import GRAPHS
from mmlight.tables import FeatureGraph, build_graph, draw, repeat, scale_permuted, to_dot
from mmlight.tables.scale_permuted import R0_SP53, ScalePermuted

TABLES = {
    'spinenet-49': ('SpineNet-49', scale_permuted.SPINENET_49),
    'spinenet-mobile': ('SpineNet mobile', scale_permuted.SPINENET_MOBILE),
    'r0-sp53': ('R0-SP53', R0_SP53),
    'r0-sp53-no-short': ('R0-SP53 without short-range connections', scale_permuted.without_short_range(R0_SP53)),
    'r0-sp53-no-long': ('R0-SP53 without long-range connections', scale_permuted.without_long_range(R0_SP53)),
    'r0-sp53-sequential': ('R0-SP53 in sequence', scale_permuted.sequential(R0_SP53)),
    'r23-sp30': ('R23-SP30', scale_permuted.R23_SP30),
    'hourglass': ('Hourglass', scale_permuted.HOURGLASS),
    'fish': ('Fish', scale_permuted.FISH),
}


def find(name: str, copies: int = 1) -> tuple[str, FeatureGraph | ScalePermuted]:
    """Title and graph of a published name or a JSON file, repeated if it is a pyramid."""
    if name in TABLES and copies != 1:
        raise InputError(f'--repeat {copies}: {name} is a network, only pyramids can be repeated')
    if name in TABLES:
        return TABLES[name]
    title, graph = find_pyramid(name)
    return title, repeat(graph, copies)


def find_pyramid(name: str) -> tuple[str, FeatureGraph]:
    """Title and graph of a registered pyramid or a JSON file."""
    path = Path(name)
    if not path.is_file():
        return name, build_graph(name, 3, 7)
    try:
        return path.stem, FeatureGraph.from_dict(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise InputError(f'graph {name}: no JSON ({error})') from error


def main() -> None:
    parser = Parser(description=__doc__.splitlines()[0])
    GRAPHS.import_from_location()
    names = ', '.join([*GRAPHS.module_dict, *TABLES])
    parser.add_argument(
        'graphs', nargs='+', metavar='GRAPH', help=f'{names}, a JSON file, or MODULE.FUNCTION of a file of your own'
    )
    parser.add_argument('--repeat', type=int, default=1, metavar='N', help='copies, one after the other')
    parser.add_argument('--per-row', type=int, default=4, metavar='N', help='graphs side by side')
    parser.add_argument('--spread', action='store_true', help='one column a feature')
    parser.add_argument('--out', type=Path, required=True, help='picture (.png, .pdf, .svg), or .dot for one graph')
    args = parser.parse_args()
    graphs = dict(find(name, args.repeat) for name in args.graphs)
    if not args.out.parent.is_dir():
        raise InputError(f'--out {args.out}: no such folder')
    if args.out.suffix != '.dot':
        draw(graphs, args.out, args.per_row, compact=not args.spread)
    elif len(graphs) == 1:
        (graph,) = graphs.values()
        args.out.write_text(to_dot(graph.graph(prune=True) if isinstance(graph, ScalePermuted) else graph))
    else:
        raise InputError(f'--out {args.out}: a .dot file holds one graph, got {len(graphs)}')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    exit_on_input_error(main)
