"""Repeat the four experiments of ShuffleNet V2 (arXiv 1807.11164, tables 1 to 4) on this machine.

The variants of a table have the same multiply-adds and are timed in turns. Speeds are relative to a table's first row.
"""

import mmlight  # isort: skip

import argparse
import json
from functools import partial

import torch

from benchmarks.guideline_experiments import EXPERIMENTS, SIDE, Variant
from mmlight.measure.latency import Latency, machine, measure_latency
from mmlight.measure.layer_costs import LayerCosts, measure_layers
from mmlight.measure.layer_report import table
from mmlight.arguments import Parser
from mmlight.runtime.device import use_device
from mmlight.errors import exit_on_input_error


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument('guidelines', nargs='*', metavar='G', help=f'of {", ".join(EXPERIMENTS)}; default: all')
    parser.add_argument('--rounds', type=int, default=20, help='calls of a variant in each of three repeats')
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--threads', type=int, default=1, help='of the CPU')
    parser.add_argument('--device', default='cpu', help='cpu (default), cuda or cuda:N')
    parser.add_argument('--json', action='store_true', help='print JSON')
    args = parser.parse_args()
    for name in set(args.guidelines) - set(EXPERIMENTS):
        parser.error(f'guideline {name}: allowed are {", ".join(EXPERIMENTS)}')
    return args


def run(variants: tuple[Variant, ...], args: argparse.Namespace) -> list[tuple[Variant, LayerCosts, Latency]]:
    networks = [variant.build().to(args.device).eval() for variant in variants]
    images = [variant.image(args.batch).to(args.device) for variant in variants]
    functions = {v.name: partial(net, image) for v, net, image in zip(variants, networks, images, strict=True)}
    with torch.inference_mode():
        found = measure_latency(functions, args.rounds, device=args.device)
    costs = [measure_layers(v.build(), SIDE, channels=v.channels) for v in variants]
    return [(variant, cost, found[variant.name]) for variant, cost in zip(variants, costs, strict=True)]


def to_dict(variant: Variant, costs: LayerCosts, latency: Latency) -> dict:
    return dict(
        name=variant.name,
        macs=costs.macs,
        accesses=costs.accesses,
        published={'gtx 1080ti': variant.gpu, 'snapdragon 810': variant.arm},
        latency=latency.to_dict(),
    )


def report(guideline: str, found: list[tuple[Variant, LayerCosts, Latency]]) -> str:
    title = [guideline, 'MACs (M)', 'memory (M)', 'over bound', 'ms', 'spread', 'speed', '1080Ti', 'Snapdragon']
    rows, (first, _, fastest) = [title], found[0]
    for variant, costs, latency in found:
        convolutions = [c for layer in costs.layers for c in layer.convolutions]
        over = sum(c.accesses for c in convolutions) / sum(c.bound for c in convolutions)
        cells = [f'{costs.macs / 1e6:.1f}', f'{costs.accesses / 1e6:.2f}', f'{over:.3f}']
        cells += [f'{latency.p50:.2f}', f'{latency.spread:.0%}', f'{fastest.p50 / latency.p50:.2f}']
        rows.append([variant.name, *cells, f'{variant.gpu / first.gpu:.2f}', f'{variant.arm / first.arm:.2f}'])
    return table(rows, left=1)


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    with use_device(args.device):
        names = args.guidelines or list(EXPERIMENTS)
        found = {name: run(EXPERIMENTS[name], args) for name in names}
        on = machine(args.device)
    if args.json:
        tables = {name: [to_dict(*row) for row in rows] for name, rows in found.items()}
        print(json.dumps({'machine': on, 'batch': args.batch, 'experiments': tables}))
        return
    print(f'Batch {args.batch}; ' + ', '.join(f'{key} {value}' for key, value in on.items()))
    print('Speeds (here; published) are relative to the first row of their table.')
    for name, rows in found.items():
        print(f'\n{report(name, rows)}')


if __name__ == '__main__':
    exit_on_input_error(main)
