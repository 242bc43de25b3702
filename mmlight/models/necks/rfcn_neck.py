"""R-FCN's position-sensitive maps (arXiv 1605.06409, Sec. 3)."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlight.registry import MODELS


@MODELS.register_module()
class RFCNNeck(BaseModule):
    """A 1x1 convolution that reduces C5, ReLU, and one that makes the position-sensitive maps; C4 for the RPN.

    With ``K`` classes, ``P x Q`` bins and class-agnostic boxes there are ``(K + 1) P Q`` score maps and ``4 P Q`` box
    maps, which are neighbours here: PSRoI pooling turns them into ``K + 1`` scores and 4 deltas a bin. Order of the
    results as in :class:`~mmlight.models.necks.LightHeadNeck`.

    Args:
        in_channels: Channels of C5.
        out_channels: ``(K + 5) P Q``: 4165 for COCO and 7 x 7 bins.
        mid_channels: Channels after the reduction.
        init_cfg: mmengine's initialisation config.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 4165,
        mid_channels: int = 1024,
        init_cfg: dict | list[dict] | None = dict(type='Normal', layer='Conv2d', std=0.01),
    ):
        super().__init__(init_cfg)
        self.out_channels = out_channels
        self.reduce = nn.Conv2d(in_channels, mid_channels, 1)
        self.maps = nn.Conv2d(mid_channels, out_channels, 1)

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """C4 and C5 ``(N, in_channels, H, W)`` to ``(N, out_channels, H, W)`` and C4. A single map is both."""
        return self.maps(F.relu(self.reduce(inputs[-1]))), inputs[0]
