"""Networks of searched convolutional cells (NASNet, arXiv 1707.07012)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.models.backbones.base import Backbone
from mmlight.registry import MODELS
from mmlight.tables.cells import CellBlock, Cells

NUM_REDUCTIONS = 4


def operation(name: str, channels: int, stride: int, norm_cfg: dict) -> nn.Module:
    """One of :data:`mmlight.tables.cells.OPS` on ``channels`` channels; convolutions are ReLU, convolution, norm."""
    order = dict(norm_cfg=norm_cfg, act_cfg=dict(type='ReLU', inplace=False), order=('act', 'conv', 'norm'))

    def conv(kernel, stride=stride, dilation=1, groups=1) -> nn.Module:
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = tuple(dilation * (k // 2) for k in kernel)
        return ConvModule(channels, channels, kernel, stride, padding, dilation, groups, **order)

    def separable(kernel: int) -> nn.Module:  # twice, as in the paper
        layers = []
        for own_stride in (stride, 1):
            padding = kernel // 2
            layers += [
                nn.ReLU(),
                nn.Conv2d(channels, channels, kernel, own_stride, padding, groups=channels, bias=False),
            ]
            layers += [ConvModule(channels, channels, 1, norm_cfg=norm_cfg, act_cfg=None)]
        return nn.Sequential(*layers)

    kind, _, size = name.partition('_')
    if name == 'identity':
        return nn.Identity() if stride == 1 else conv(1)
    if name in ('conv_1x3_3x1', 'conv_1x7_7x1'):
        k = int(name[7])
        return nn.Sequential(conv((1, k), (1, stride)), conv((k, 1), (stride, 1)))
    if kind == 'dilated':
        return conv(3, dilation=2)
    if kind == 'separable':
        return separable(int(size[0]))
    if name.startswith('avg_pool'):
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    if name.startswith('max_pool'):
        k = int(name[-1])
        return nn.MaxPool2d(k, stride, k // 2)
    return conv(int(size[0]))


class _Block(nn.Module):
    def __init__(self, block: CellBlock, channels: int, strides: Sequence[int], norm_cfg: dict):
        super().__init__()
        self.inputs = block.inputs
        self.combine = block.combine
        self.ops = nn.ModuleList(
            operation(op, channels, strides[source], norm_cfg)
            for op, source in zip(block.ops, block.inputs, strict=True)
        )
        self.project = nn.Identity()
        if block.combine == 'concat':
            self.project = ConvModule(2 * channels, channels, 1, norm_cfg=norm_cfg, order=('act', 'conv', 'norm'))

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        left, right = (op(states[source]) for op, source in zip(self.ops, self.inputs, strict=True))
        return self.project(torch.cat([left, right], 1)) if self.combine == 'concat' else left + right


class Cell(nn.Module):
    """A cell: both inputs are brought to ``channels`` channels and one size, then its blocks follow; the states that
    nothing reads are concatenated.

    Args:
        blocks: The table.
        previous: Channels of the output of the cell before.
        skip: Channels of the one before that.
        skip_stride: How much larger that one is.
        channels: Of every block.
        stride: 2 for a reduction cell.
        norm_cfg: Normalisation layers.
    """

    def __init__(
        self,
        blocks: Sequence[CellBlock],
        previous: int,
        skip: int,
        skip_stride: int,
        channels: int,
        stride: int,
        norm_cfg: dict,
    ):
        super().__init__()
        order = dict(norm_cfg=norm_cfg, act_cfg=dict(type='ReLU', inplace=False), order=('act', 'conv', 'norm'))
        read = {source for block in blocks for source in block.inputs}
        # no layer that nothing reads: it would get no gradient
        self.previous = ConvModule(previous, channels, 1, **order) if 0 in read else None
        self.skip = ConvModule(skip, channels, 1, stride=skip_stride, **order) if 1 in read else None
        strides = [stride, stride] + [1] * len(blocks)
        self.blocks = nn.ModuleList(_Block(block, channels, strides, norm_cfg) for block in blocks)
        self.outputs = Cells.outputs(tuple(blocks))
        self.out_channels = channels * len(self.outputs)

    def forward(self, previous: Tensor, skip: Tensor) -> Tensor:
        states: list[Any] = [self.previous and self.previous(previous), self.skip and self.skip(skip)]
        for block in self.blocks:
            states.append(block(states))
        return torch.cat([states[index] for index in self.outputs], 1)


@MODELS.register_module()
class NASNet(Backbone):
    """Normal and reduction cells in turn, as a detector's backbone.

    A 3x3 convolution with stride 2; four times a reduction cell with twice the width and ``num_cells`` normal cells.

    Args:
        cells: The table, as :meth:`mmlight.tables.cells.Cells.to_dict` makes it.
        channels: Width of the first reduction cell's blocks.
        num_cells: Normal cells after each reduction cell.
        out_indices: Which of the four stages come out; their strides are 4, 8, 16, 32.
        frozen_stages: ``-1`` trains everything, ``0`` freezes the stem, ``n`` the first ``n`` stages too.
        norm_eval: Keep the statistics of every batch norm fixed in training.
        norm_cfg: Normalisation layers.
        init_cfg: mmengine's initialisation config.

    Raises:
        InputError: for an invalid table and for numbers below 1.
    """

    def __init__(
        self,
        cells: Cells | Mapping,
        channels: int = 32,
        num_cells: int = 2,
        out_indices: Sequence[int] = (1, 2, 3),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        norm_cfg: dict = dict(type='BN'),
        init_cfg: dict | list[dict] | None = dict(type='Kaiming', layer='Conv2d'),
    ):
        super().__init__(out_indices, frozen_stages, norm_eval, init_cfg)
        checks.positive_int('NASNet', channels=channels, num_cells=num_cells)
        if not isinstance(cells, Cells):
            if not isinstance(cells, Mapping) or set(cells) != {'normal', 'reduction'}:
                found = sorted(cells) if isinstance(cells, Mapping) else repr(cells)
                raise InputError(f"NASNet: cells needs the keys 'normal' and 'reduction', got {found}")
            cells = Cells(cells['normal'], cells['reduction'])
        self.stem = ConvModule(3, channels, 3, stride=2, padding=1, norm_cfg=norm_cfg, act_cfg=None)
        previous = skip = channels
        skip_stride, stages, widths = 1, [], []
        for stage in range(NUM_REDUCTIONS):
            width, built = channels * 2**stage, []
            for number in range(num_cells + 1):
                table = cells.normal if number else cells.reduction
                built.append(Cell(table, previous, skip, skip_stride, width, 1 if number else 2, norm_cfg))
                previous, skip = built[-1].out_channels, previous
                skip_stride = 1 if number else 2
            stages.append(nn.ModuleList(built))
            widths.append(previous)
        self.cells = nn.ModuleList(stages)
        self.check_stages(widths, [4, 8, 16, 32])

    def stages(self) -> list[nn.Module]:
        return [self.stem, *self.cells]

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """``(N, 3, H, W)`` to the maps of ``out_indices``, strides 4, 8, 16, 32."""
        previous = skip = self.stem(image)
        maps = []
        for stage in self.cells:
            for cell in stage.children():
                previous, skip = cell(previous, skip), previous
            maps.append(previous)
        return tuple(maps[index] for index in self.out_indices)
