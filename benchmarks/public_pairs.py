"""Networks of mmlight beside the same networks of public packages, with the same weights, in the same process."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from benchmarks.effdet_reference import effdet_model, import_effdet
from mmlight.measure.latency import Latency, measure_latency
from mmlight.errors import InputError

SIDES = ('ours', 'folded', 'deployed', 'theirs', 'theirs, channels-last')
"""Our network as it is, with norms folded into the convolutions, that in channels-last memory format (what
:func:`~mmlight.deploy.deploy.switch_to_deploy` makes); and theirs."""

PARITY = 1e-4
"""Largest difference of an output, as a share of its largest value, with which two networks count as the same."""


@dataclass(frozen=True)
class Pair:
    """Two implementations of one network.

    Attributes:
        name: of the network.
        other: package that ``theirs`` is of.
        shape: of the input, in words.
        ours, theirs: either network; they give the same outputs, in order.
        inputs: a tensor, or several, that either takes.
        run: one inference of ours with them, where that is not a call.
    """

    name: str
    other: str
    shape: str
    ours: nn.Module
    theirs: nn.Module
    inputs: Any
    run: Callable[[nn.Module, Any], Any] = nn.Module.__call__

    def functions(self) -> dict[str, Callable[[], Any]]:
        """Inferences by the names of :data:`SIDES`."""
        folded = fuse_conv_bn(copy.deepcopy(self.ours))
        last = [copy.deepcopy(network).to(memory_format=torch.channels_last) for network in (folded, self.theirs)]
        inputs = tree_map(lambda x: x.contiguous(memory_format=torch.channels_last), self.inputs)
        found = [
            lambda: self.run(self.ours, self.inputs),
            lambda: self.run(folded, self.inputs),
            lambda: self.run(last[0], inputs),
            lambda: self.theirs(self.inputs),
            lambda: last[1](inputs),
        ]
        return {side: torch.no_grad()(function) for side, function in zip(SIDES, found, strict=True)}


def difference(ours: Any, theirs: Any) -> float:
    """Largest of all outputs, as a share of their largest values."""
    outputs = zip(tree_leaves(ours), tree_leaves(theirs), strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in outputs)


RATIOS = (
    ('ours', 'theirs'),
    ('folded', 'theirs'),
    ('deployed', 'theirs'),
    ('deployed', 'theirs, channels-last'),
)
"""Of which sides the table gives the ratio."""


@dataclass(frozen=True)
class Compared:
    """A pair, measured: threads -> :data:`SIDES` -> milliseconds."""

    name: str
    other: str
    shape: str
    difference: float
    times: dict[int, dict[str, Latency]]

    def ratio(self, threads: int, side: str = 'ours', other: str = 'theirs') -> float:
        """Medians of one of our sides over one of theirs: below 1 is faster."""
        return self.times[threads][side].p50 / self.times[threads][other].p50

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-able values."""
        return asdict(self) | {'ratio': {n: [self.ratio(n, *sides) for sides in RATIOS] for n in self.times}}


def efficientdet(size: int = 512) -> Pair:
    """EfficientDet-D0 of the package effdet."""
    from mmlight.runtime.inference import build
    from mmlight.runtime.config import load_config
    from mmlight.weights.efficientdet import convert, reorder_boxes

    theirs = effdet_model('d0', (size, size))
    config = load_config('efficientdet_d0_8xb16-crop512-300e_coco')
    config.model.bbox_head.num_classes = 90
    ours = build(config).eval()
    ours.load_state_dict(convert(theirs.state_dict(), 'd0', num_classes=90)[0])
    # their deltas are (y, x, height, width), ours (x, y, width, height)
    last = theirs.box_net.predict.conv_pw
    last.weight.data, last.bias.data = reorder_boxes(last.weight.data), reorder_boxes(last.bias.data)

    def run(network: nn.Module, image: Tensor) -> Any:
        return network.bbox_head(network.extract_feat(image))

    return Pair('EfficientDet-D0', 'effdet', f'{size} x {size}', ours, theirs, torch.randn(1, 3, size, size), run)


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
    return Pair(name, 'torchvision', f'{size} x {size}', ours, theirs, torch.randn(1, 3, size, size))


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
    ours.load_state_dict(_renamed(theirs.state_dict(), names))
    maps = [torch.randn(1, width, size >> level, size >> level) for width, level in zip(widths, (3, 4, 5), strict=True)]
    return Pair(f'NAS-FPN {stacks} @ {channels}', 'mmdet', f'maps of {size} x {size}', ours, theirs, maps)


def bisenet(height: int = 512, width: int = 1024) -> Pair:
    """mmseg's ``BiSeNetV1`` with ResNet-18, to the maps that the heads read."""
    from mmseg.models.backbones import BiSeNetV1

    from mmlight.models.segmentors import BiSeNet

    torch.manual_seed(0)
    norm = dict(type='BN')
    backbone = dict(type='mmseg.ResNet', depth=18, norm_cfg=norm)
    theirs = BiSeNetV1(dict(backbone, out_indices=(0, 1, 2, 3)), norm_cfg=norm).eval()
    _spread(theirs)
    options = dict(fusion='one-conv', upsample='nearest', norm_cfg=norm)
    ours = BiSeNet(dict(backbone, out_indices=(2, 3)), (256, 512), **options).eval()
    names = {
        'context_path.backbone.': 'backbone.',
        'context_path.arm': 'refine',
        'context_path.conv_head': 'conv',
        'context_path.gap_conv.1.': 'global_context.',
        'ffm.': 'fusion.',
        'spatial_path.': 'spatial_path.',
    }
    ours.load_state_dict(_renamed(theirs.state_dict(), names))
    image = torch.randn(1, 3, height, width)
    return Pair('BiSeNet-R18', 'mmseg', f'{height} x {width}', ours, theirs, image)


PAIRS: dict[str, Callable[[], Pair]] = {
    'efficientdet-d0': efficientdet,
    'shufflenet-v2': lambda: classifier('ShuffleNetV2 1.0x'),
    'mobilenet-v2': lambda: classifier('MobileNetV2'),
    'nas-fpn': nas_fpn,
    'bisenet': bisenet,
}
"""What there are weights for on both sides."""


def _renamed(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """Keys with the beginnings that are named replaced."""
    starts = {key: next(name for name in names if key.startswith(name)) for key in state}
    return {key.replace(starts[key], names[starts[key]], 1): value for key, value in state.items()}


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
        differences.append(max(difference(sides[side](), theirs) for side in SIDES if side != 'theirs'))
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
            {n: {side: found[index, side] for side in SIDES} for n, found in times.items()},
        )
        for index, pair in enumerate(pairs)
    ]


def markdown(compared: Sequence[Compared]) -> str:
    """A table: each side's milliseconds and the ratios, a row for each number of threads."""
    columns = ['network', 'input', 'beside', 'threads', *SIDES, *(' / '.join(sides) for sides in RATIOS)]
    lines = ['| ' + ' | '.join(columns) + ' |', '|' + '---|' * len(columns)]
    for one in compared:
        for threads, times in one.times.items():
            cells = [one.name, one.shape, one.other, str(threads)]
            cells += [str(times[side]) for side in SIDES]
            cells += [f'{one.ratio(threads, *sides):.2f}' for sides in RATIOS]
            lines.append('| ' + ' | '.join(cells) + ' |')
    worst = max(one.difference for one in compared)
    note = f'Milliseconds, medians; outputs agree within {worst:.0e} of the largest value. Below 1: ours is faster.'
    note += '\nDeployed: folded, and channels-last in memory, as `tools/test.py --deploy` runs it.'
    if any(not latency.steady for one in compared for times in one.times.values() for latency in times.values()):
        note += '\n± where the repeats differ by more than 3 %.'
    return '\n'.join([*lines, '', note])
