"""Time and memory of PSRoIAlign against mmcv's RoIAlign on all channels followed by picking the diagonal.

Both are checked to agree first, then timed alternately in one process; what counts is the ratio. With one thread the
time is the processor's, to which other programs add little. Memory is the most that a call has allocated at once, its
result and gradients included, its input not.
"""

import mmlight  # isort: skip

import argparse
import time
from collections.abc import Callable
from itertools import accumulate

import torch
from mmcv.ops import roi_align
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from mmlight.arguments import Parser
from mmlight.runtime.device import use_device
from mmlight.errors import InputError, exit_on_input_error
from mmlight.ops import PSRoIAlign


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--rois', type=int, default=200)
    parser.add_argument('--images', type=int, default=1)
    parser.add_argument('--channels', type=int, default=245, help='a multiple of 49')
    parser.add_argument('--size', type=int, default=20, help='height and width of the map')
    parser.add_argument('--mode', choices=['avg', 'max'], default='avg')
    parser.add_argument('--repeats', type=int, default=10)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()
    for name in ('rois', 'images', 'channels', 'size', 'repeats', 'threads'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} must be 1 or more, got {getattr(args, name)}')
    if args.channels % 49:
        parser.error(f'--channels must be a multiple of 49, got {args.channels}')
    return args


def shortest(functions: dict[str, Callable], repeats: int, device: str, clock: Callable) -> dict[str, float]:
    """Least milliseconds of each function, called in turns."""
    best = dict.fromkeys(functions, float('inf'))
    for _ in range(repeats + 1):
        for name, function in functions.items():
            start = clock()
            function()
            if device.startswith('cuda'):
                torch.cuda.synchronize()
            best[name] = min(best[name], (clock() - start) * 1e3)
    return best


def peak_memory(function: Callable, device: str) -> int:
    """Bytes that a call has at most at once, beyond those that were there before."""
    if device.startswith('cuda'):
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        function()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        function()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == '[memory]']
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(accumulate(changes, initial=0))


def main() -> None:
    args = parse_args()
    with use_device(args.device):
        compare(args)


def compare(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    features = torch.randn(args.images, args.channels, args.size, args.size, device=args.device, requires_grad=True)
    extent = 16 * args.size
    rois = torch.rand(args.rois, 5, device=args.device) * extent
    rois[:, 3:] = rois[:, 1:3] + torch.rand(args.rois, 2, device=args.device) * extent / 3
    rois[:, 0] = torch.randint(0, args.images, (args.rois,), device=args.device)
    pool = PSRoIAlign(7, 1 / 16, sampling_ratio=2, mode=args.mode)

    def direct() -> Tensor:
        return pool(features, rois)

    def diagonal() -> Tensor:
        every = roi_align(features, rois, (7, 7), 1 / 16, 2, args.mode, True)
        return torch.einsum('rkpqpq->rkpq', every.view(len(rois), -1, 7, 7, 7, 7))

    difference = (direct() - diagonal()).abs().max().item()
    print(f'largest difference of the two: {difference:.1e}')
    if difference > 1e-4:
        raise InputError(f'the two do not agree: they differ by {difference:.1e}')

    import mmcv

    native = 'fallback' if getattr(mmcv._ext, '__is_fallback__', False) else 'compiled'
    print(
        f'{args.rois} RoIs, {args.images} image(s), {args.channels} x {args.size} x {args.size}, {args.mode}, '
        f'{args.device}, {args.threads} thread(s), torch {torch.__version__}, mmcv operators: {native}'
    )

    clock = time.process_time if args.threads == 1 and args.device == 'cpu' else time.perf_counter

    def forward(function: Callable) -> Callable:
        return torch.no_grad()(function)

    def both(function: Callable) -> Callable:
        return lambda: function().sum().backward()

    def row(name: str, unit: str, values: dict[str, float]) -> str:
        ratio = values['diagonal'] / values['direct']
        return f'{name:28}{values["diagonal"]:17.2f} {unit}{values["direct"]:11.2f} {unit}{ratio:8.1f}x'

    print(f'{"":28}{"RoIAlign, diagonal":>20}{"PSRoIAlign":>14}{"ratio":>9}')
    for name, wrap in (('forward', forward), ('forward + backward', both)):
        functions = {'diagonal': wrap(diagonal), 'direct': wrap(direct)}
        print(row(f'{name}, time', 'ms', shortest(functions, args.repeats, args.device, clock)))
        memory = {}
        for key, function in functions.items():
            features.grad = None
            memory[key] = peak_memory(function, args.device) / 2**20
        print(row(f'{name}, memory', 'MB', memory))


if __name__ == '__main__':
    exit_on_input_error(main)
