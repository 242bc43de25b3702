"""RetinaNet's head with a norm for each level and a selectable activation."""

from mmcv.cnn import ConvModule, build_activation_layer
from mmdet.models.dense_heads import RetinaSepBNHead as _RetinaSepBNHead

from mmlight.models.heads.best_of_levels import BestOfLevels
from mmlight.registry import MODELS


@MODELS.register_module()
class RetinaSepBNHead(BestOfLevels, _RetinaSepBNHead):
    """mmdet's ``RetinaSepBNHead`` with another activation than ReLU (SpineNet, arXiv 1912.05027, uses swish), and with
    ``test_cfg.nms_pre_total`` (:class:`~mmlight.models.heads.best_of_levels.BestOfLevels`).

    Args:
        act_cfg: Activation.
        kwargs: Those of mmdet's ``RetinaSepBNHead``.
    """

    def __init__(self, *args, act_cfg: dict = dict(type='ReLU'), **kwargs):
        self.act_cfg = act_cfg
        super().__init__(*args, **kwargs)

    def _init_layers(self) -> None:
        super()._init_layers()
        for module in self.modules():
            if isinstance(module, ConvModule):
                module.activate = build_activation_layer(self.act_cfg)
