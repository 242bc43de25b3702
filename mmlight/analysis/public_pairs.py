"""Networks of mmlight beside the same networks of public packages, with the same weights, in the same process."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils._pytree import tree_leaves

from mmlight.analysis.effdet_reference import effdet_model, import_effdet
from mmlight.analysis.latency import Latency, measure_latency
from mmlight.errors import InputError

PARITY = 1e-4
"""Largest difference of an output, as a share of its largest value, with which two networks count as the same."""


@dataclass(frozen=True)
class Pair:
    """Two implementations of one network.

    Attributes:
        name: of the network.
        other: package that ``theirs`` is of.
        shape: of the input, in words.
        network: ours.
        run: one inference of ours.
        theirs: one of theirs; gives the same outputs, in order.
    """

    name: str
    other: str
    shape: str
    network: nn.Module
    run: Callable[[nn.Module], Any]
    theirs: Callable[[], Any]

    def functions(self) -> dict[str, Callable[[], Any]]:
        """Ours as it is and with norms folded, and theirs."""
        folded = fuse_conv_bn(copy.deepcopy(self.network))
        return {
            'ours': torch.no_grad()(lambda: self.run(self.network)),
            'folded': torch.no_grad()(lambda: self.run(folded)),
            'theirs': torch.no_grad()(self.theirs),
        }


def difference(ours: Any, theirs: Any) -> float:
    """Largest of all outputs, as a share of their largest values."""
    outputs = zip(tree_leaves(ours), tree_leaves(theirs), strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in outputs)


@dataclass(frozen=True)
class Compared:
    """A pair, measured: threads -> ``ours``, ``folded`` and ``theirs`` -> milliseconds."""

    name: str
    other: str
    shape: str
    difference: float
    times: dict[int, dict[str, Latency]]

    def ratio(self, threads: int, side: str = 'ours') -> float:
        """Medians of ours over theirs: below 1 is faster."""
        return self.times[threads][side].p50 / self.times[threads]['theirs'].p50

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self) | {'ratio': {n: [self.ratio(n), self.ratio(n, 'folded')] for n in self.times}}


def efficientdet(size: int = 512) -> Pair:
    """EfficientDet-D0 of the package effdet."""
    from mmlight.analysis.complexity import build
    from mmlight.engine.config import load_config
    from mmlight.models.det.efficientdet_weights import convert, reorder_boxes

    theirs = effdet_model('d0', (size, size))
    config = load_config('efficientdet_d0_8xb16-crop512-300e_coco')
    config.model.bbox_head.num_classes = 90
    ours = build(config).eval()
    ours.load_state_dict(convert(theirs.state_dict(), 'd0', num_classes=90)[0])
    # their deltas are (y, x, height, width), ours (x, y, width, height)
    last = theirs.box_net.predict.conv_pw
    last.weight.data, last.bias.data = reorder_boxes(last.weight.data), reorder_boxes(last.bias.data)
    image = torch.randn(1, 3, size, size)
    return Pair(
        'EfficientDet-D0',
        'effdet',
        f'{size} x {size}',
        ours,
        lambda network: network.bbox_head(network.extract_feat(image)),
        lambda: theirs(image),
    )


def classifier(name: str, size: int = 224) -> Pair:
    """ShuffleNetV2 1.0x or MobileNetV2 1.0 of torchvision, with its classifier."""
    from mmlight.models.backbones import MobileNetV2, ShuffleNetV2

    import_effdet()  # declares what a torchvision for another torch misses
    from torchvision import models

    torch.manual_seed(0)
    kinds = {
        'ShuffleNetV2 1.0x': (ShuffleNetV2, models.shufflenet_v2_x1_0),
        'MobileNetV2': (MobileNetV2, models.mobilenet_v2),
    }
    own, reference = kinds[name]
    theirs = reference(weights=None).eval()
    _spread(theirs)
    ours = own(1.0, num_classes=1000).eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.randn(1, 3, size, size)
    return Pair(name, 'torchvision', f'{size} x {size}', ours, lambda network: network(image), lambda: theirs(image))


def nas_fpn(stacks: int = 7, channels: int = 256, size: int = 384) -> Pair:
    """mmdet's ``NASFPN``, on maps of an image of this size."""
    from mmdet.models.necks import NASFPN as Reference

    from mmlight.models.necks import NASFPN

    torch.manual_seed(0)
    norm, widths = dict(type='BN'), [512, 1024, 2048]
    theirs = Reference(widths, channels, 5, stacks, norm_cfg=norm).eval()
    _spread(theirs)
    ours = NASFPN(widths, channels, stacks, attention='mmdet', norm_cfg=norm).eval()
    # node of mmdet's cell for each of ours; None: a node that is a global pooling without layers of its own
    cells = ['gp_64_4', 'sum_44_4', 'sum_43_3', 'sum_34_4', None, 'sum_55_5', None, 'sum_77_7', 'gp_75_6']
    names = {f'lateral_convs.{i}.': f'laterals.{i}.' for i in range(3)}
    names |= {f'extra_downsamples.{i}.0.': f'before_pools.{i}.' for i in range(2)}
    names |= {
        f'fpn_stages.{stack}.{cell}.out_conv.': f'stacks.{stack}.nodes.{node}.block.'
        for stack in range(stacks)
        for node, cell in enumerate(cells)
    }
    state = {}
    for key, value in theirs.state_dict().items():
        start = next(name for name in names if key.startswith(name))
        state[key.replace(start, names[start], 1)] = value
    ours.load_state_dict(state)
    maps = [torch.randn(1, width, size >> level, size >> level) for width, level in zip(widths, (3, 4, 5), strict=True)]
    shape = f'maps of {size} x {size}'
    return Pair(
        f'NAS-FPN {stacks} @ {channels}', 'mmdet', shape, ours, lambda network: network(maps), lambda: theirs(maps)
    )


PAIRS: dict[str, Callable[[], Pair]] = {
    'efficientdet-d0': efficientdet,
    'shufflenet-v2': lambda: classifier('ShuffleNetV2 1.0x'),
    'mobilenet-v2': lambda: classifier('MobileNetV2'),
    'nas-fpn': nas_fpn,
}
"""What there are weights for on both sides."""


def _spread(network: nn.Module) -> None:
    """Weights and statistics that tell the channels from each other."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.normal_(0, module.weight[0].numel() ** -0.5)
            elif isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.75, 1.25)
                module.running_var.uniform_(0.75, 1.25)
                module.running_mean.normal_(0, 0.1)


def compare_pairs(
    names: Sequence[str] = tuple(PAIRS),
    threads: Sequence[int] = (1, 2),
    seconds: float = 4.0,
    repeats: int = 3,
) -> list[Compared]:
    """Check that either side computes the same, then measure all of them in turns, ours also with norms folded.

    Args:
        names: of :data:`PAIRS`.
        threads: numbers of CPU threads.
        seconds: that a function runs in a repeat.
        repeats: how often.

    Raises:
        InputError: a name is unknown, a package is not installed, or two outputs differ by more than :data:`PARITY`.
    """
    unknown = [name for name in names if name not in PAIRS]
    if unknown:
        raise InputError(f'--pairs {unknown[0]}: allowed are {", ".join(PAIRS)}')
    init_default_scope('mmdet')
    pairs = [PAIRS[name]() for name in names]
    functions, differences = {}, []
    for index, pair in enumerate(pairs):
        sides = pair.functions()
        theirs = sides['theirs']()
        differences.append(max(difference(sides[side](), theirs) for side in ('ours', 'folded')))
        if not differences[-1] <= PARITY:
            found = f'{differences[-1]:.2g} of the largest value'
            raise InputError(f'{pair.name}: differs from that of {pair.other} by {found}')
        functions |= {(index, side): function for side, function in sides.items()}
    times: dict[int, dict[tuple[int, str], Latency]] = {}
    before = torch.get_num_threads()
    try:
        for number in threads:
            torch.set_num_threads(number)
            times[number] = measure_latency(functions, 10**6, warmup_rounds=3, repeats=repeats, limit=seconds)
    finally:
        torch.set_num_threads(before)
    return [
        Compared(
            pair.name,
            pair.other,
            pair.shape,
            differences[index],
            {n: {side: found[index, side] for side in ('ours', 'folded', 'theirs')} for n, found in times.items()},
        )
        for index, pair in enumerate(pairs)
    ]


def markdown(compared: Sequence[Compared]) -> str:
    """A table: either side's milliseconds and their ratio, for each number of threads."""
    threads = list(compared[0].times)
    columns = ['network', 'input', 'beside']
    columns += [f'ms ours / folded / theirs, {n} thread{"s" * (n > 1)}' for n in threads]
    columns += [f'ratio ours, folded; {n} thread{"s" * (n > 1)}' for n in threads]
    lines = ['| ' + ' | '.join(columns) + ' |', '|' + '---|' * len(columns)]
    for one in compared:
        times = [' / '.join(f'{latency.p50:.1f}' for latency in one.times[n].values()) for n in threads]
        ratios = [f'{one.ratio(n):.2f}, {one.ratio(n, "folded"):.2f}' for n in threads]
        lines.append('| ' + ' | '.join([one.name, one.shape, one.other, *times, *ratios]) + ' |')
    worst = max(one.difference for one in compared)
    return '\n'.join(
        [*lines, '', f'Outputs agree within {worst:.0e} of the largest value. Below 1 is faster than theirs.']
    )
