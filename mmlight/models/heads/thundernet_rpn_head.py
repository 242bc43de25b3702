"""ThunderNet's RPN head (arXiv 1903.11752, Sec. 3.3)."""

from torch import Tensor, nn

from mmlight.models.heads.selective_rpn_head import SelectiveRPNHead
from mmlight.registry import MODELS


@MODELS.register_module()
class ThunderNetRPNHead(SelectiveRPNHead):
    """:class:`SelectiveRPNHead` without its 3x3 convolution: the trunk stands in
    :class:`~mmlight.models.necks.ThunderNetNeck`."""

    def _init_layers(self) -> None:
        self.rpn_cls = nn.Conv2d(self.in_channels, self.num_base_priors * self.cls_out_channels, 1)
        self.rpn_reg = nn.Conv2d(self.in_channels, self.num_base_priors * 4, 1)

    def forward_single(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.rpn_cls(x), self.rpn_reg(x)
