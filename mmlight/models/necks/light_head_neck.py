"""Light-Head R-CNN's neck: a thin map by a large separable convolution (arXiv 1711.07264, Sec. 3.2, Fig. 3)."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlight.errors import InputError
from mmlight.registry import MODELS


class LargeSeparableConv(nn.Module):
    """A ``k x k`` receptive field from a ``k x 1`` and a ``1 x k`` convolution, in both orders, summed
    (arXiv 1711.07264, Fig. 3).

    All convolutions have a bias, and nothing stands between them: neither norm nor activation.

    Args:
        in_channels: Channels of the input.
        mid_channels: Channels between the two convolutions of a branch.
        out_channels: Channels of the result.
        kernel_size: ``k``, odd, so that the map keeps its size.

    Raises:
        InputError: for an even ``kernel_size``.
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int, kernel_size: int):
        super().__init__()
        if type(kernel_size) is not int or kernel_size < 1 or kernel_size % 2 == 0:
            raise InputError(f'LargeSeparableConv: kernel_size must be odd and positive, got {kernel_size!r}')

        def branch(*kernels: tuple[int, int]) -> nn.Sequential:
            first, second = kernels
            return nn.Sequential(
                nn.Conv2d(in_channels, mid_channels, first, padding=(first[0] // 2, first[1] // 2)),
                nn.Conv2d(mid_channels, out_channels, second, padding=(second[0] // 2, second[1] // 2)),
            )

        column, row = (kernel_size, 1), (1, kernel_size)
        self.column_first = branch(column, row)
        self.row_first = branch(row, column)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)``."""
        return self.column_first(x) + self.row_first(x)


@MODELS.register_module()
class LightHeadNeck(BaseModule):
    """The RoIs' thin map from C5, and C4 for the RPN as it is (arXiv 1711.07264, Fig. 2).

    The maps are returned in the order (RoIs, RPN), so that mmdet's ``FasterRCNN`` works as it is: the RoI extractor
    takes the first, :class:`~mmlight.models.heads.SelectiveRPNHead` the last.

    Args:
        in_channels: Channels of C5: 2048 in setting L, 576 in setting S.
        mid_channels: Channels inside the large separable convolution: 256 in setting L, 64 in setting S.
        out_channels: Channels of the thin map: 490 = 10 x 7 x 7.
        kernel_size: Of the large separable convolution, odd.
        init_cfg: mmengine's initialisation config.

    Raises:
        InputError: for an even ``kernel_size``.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int = 256,
        out_channels: int = 490,
        kernel_size: int = 15,
        init_cfg: dict | list[dict] | None = dict(type='Normal', layer='Conv2d', std=0.01),
    ):
        super().__init__(init_cfg)
        self.out_channels = out_channels
        self.thin = LargeSeparableConv(in_channels, mid_channels, out_channels, kernel_size)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """C4 and C5 ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)`` and C4. A single map is both."""
        return F.relu(self.thin(inputs[-1])), inputs[0]
