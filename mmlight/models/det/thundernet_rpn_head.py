"""ThunderNet's RPN head (arXiv 1903.11752, Sec. 3.3)."""

from collections.abc import Sequence

from mmdet.models.dense_heads import RPNHead
from torch import Tensor, nn

from mmlight.registry import MODELS


@MODELS.register_module()
class ThunderNetRPNHead(RPNHead):
    """mmdet's ``RPNHead`` without its 3x3 convolution: the trunk stands in
    :class:`~mmlight.models.necks.ThunderNetNeck`.

    Of the maps that come in, only the last is read: ``(N, in_channels, H, W)``. With ``A`` anchors a cell the outputs
    are ``(N, A, H, W)`` scores (``2 A`` with ``loss_cls.use_sigmoid=False``) and ``(N, 4 A, H, W)`` box deltas.
    Arguments as in mmdet's ``RPNHead``.
    """

    def _init_layers(self) -> None:
        self.rpn_cls = nn.Conv2d(self.in_channels, self.num_base_priors * self.cls_out_channels, 1)
        self.rpn_reg = nn.Conv2d(self.in_channels, self.num_base_priors * 4, 1)

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        return super().forward(x[-1:])

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.rpn_cls(x), self.rpn_reg(x)
