"""Time and memory of EfficientDet against the package effdet, with the same weights in the same process.

The outputs are compared first; networks that differ by more than 1e-5 are not timed. The forward passes are timed in
turns, so that the ratio holds on a busy machine. Memory is what a training step of a BiFPN cell allocates at its peak.
"""

import mmlight  # isort: skip

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmlight.runtime.inference import build
from benchmarks.effdet_reference import effdet_model
from mmlight.arguments import Parser
from mmlight.runtime.config import load_config
from mmlight.errors import exit_on_input_error
from mmlight.tables.efficientdet_scaling import EFFICIENTDETS
from mmlight.weights.efficientdet import convert, reorder_boxes

TOLERANCE = 1e-5


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', default='d0', choices=list(EFFICIENTDETS))
    parser.add_argument('--size', type=int, help='height and width of the input; default: those of the model')
    parser.add_argument('--threads', type=int, nargs='+', default=[1, 2])
    parser.add_argument('--repeats', type=int, default=20)
    return parser.parse_args()


def our_model(name: str, theirs: nn.Module) -> nn.Module:
    """mmlight's model with the weights of ``theirs``."""
    size = EFFICIENTDETS[name].input_size
    config = load_config(f'efficientdet_{name}_8xb16-crop{size}-300e_coco')
    config.model.bbox_head.num_classes = 90
    init_default_scope('mmdet')
    model = build(config)
    weights, _, _ = convert(theirs.state_dict(), name, num_classes=90)
    model.load_state_dict(weights)
    model.eval()
    return model


def largest_difference(ours: nn.Module, theirs: nn.Module, image: Tensor) -> float:
    """Relative to the level's largest value, over all outputs."""
    scores, deltas = ours.bbox_head(ours.extract_feat(image))
    their_scores, their_boxes = theirs(image)
    boxes = [reorder_boxes(level.flatten(0, 1)).unflatten(0, level.shape[:2]) for level in their_boxes]
    pairs = zip([*scores, *deltas], [*their_scores, *boxes], strict=True)
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def medians(functions: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each function, called in turns; the first round does not count."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def peak_memory(cell: nn.Module, channels: int, batch: int = 4, side: int = 64) -> float:
    """MiB that a forward and backward pass of a cell needs at its peak beyond its input."""
    maps = [torch.randn(batch, channels, side >> i, side >> i, requires_grad=True) for i in range(5)]
    cell.train()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        sum(x.sum() for x in cell(maps)).backward()
    current = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == '[memory]':
            current += event.nbytes()
            peak = max(peak, current)
    return peak / 2**20


def main() -> None:
    args = parse_args()
    size = args.size or EFFICIENTDETS[args.model].input_size
    theirs = effdet_model(args.model, (size, size))
    ours = our_model(args.model, theirs)
    image = torch.randn(1, 3, size, size)
    print(f'EfficientDet-{args.model.upper()}, {size} x {size}, batch 1, torch {torch.__version__}, CPU')
    with torch.no_grad():
        difference = largest_difference(ours, theirs, image)
        if not difference <= TOLERANCE:
            sys.exit(f'error: an output differs from effdet by {difference:.1e} of its level, more than {TOLERANCE}')
        print(f'largest difference of an output: {difference:.1e} of its level')
        print('threads   mmlight ms   effdet ms   effdet / mmlight')
        for threads in args.threads:
            torch.set_num_threads(threads)
            functions = {'ours': lambda: ours.bbox_head(ours.extract_feat(image)), 'theirs': lambda: theirs(image)}
            found = medians(functions, args.repeats)
            ratio = found['theirs'] / found['ours']
            print(f'{threads:7}   {found["ours"]:10.1f}   {found["theirs"]:9.1f}   {ratio:16.2f}')
    width = EFFICIENTDETS[args.model].width
    cells = {'mmlight': ours.neck.cells[1], 'effdet': effdet_model(args.model, (512, 512)).fpn.cell[1]}
    peaks = {name: peak_memory(cell, width) for name, cell in cells.items()}
    found = ', '.join(f'{name} {peak:.1f} MiB' for name, peak in peaks.items())
    print(f'peak memory of training a BiFPN cell (4 x {width} x 64 x 64 at level 3): {found}')


if __name__ == '__main__':
    exit_on_input_error(main)
