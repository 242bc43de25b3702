"""RPN head of detectors whose neck has one map for the RoIs and another for the RPN."""

from collections.abc import Sequence

from mmdet.models.dense_heads import RPNHead
from torch import Tensor

from mmlight.registry import MODELS


@MODELS.register_module()
class SelectiveRPNHead(RPNHead):
    """mmdet's ``RPNHead`` that reads only the last of the maps that come in: ``(N, in_channels, H, W)``.

    With ``A`` anchors a cell the outputs are ``(N, A, H, W)`` scores (``2 A`` with ``loss_cls.use_sigmoid=False``) and
    ``(N, 4 A, H, W)`` box deltas. Arguments as in mmdet's ``RPNHead``.
    """

    def forward(self, x: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        return super().forward(x[-1:])
