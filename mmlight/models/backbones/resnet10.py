"""The ten-layer residual network of NAS-FPN's proxy."""

from mmdet.models.backbones import ResNet
from mmdet.models.backbones.resnet import BasicBlock

from mmlight.registry import MODELS


@MODELS.register_module()
class ResNet10(ResNet):
    """mmdet's ``ResNet`` with one basic block in each stage, channels 64, 128, 256, 512 (tensorflow/tpu's depth 10; the
    backbone of the proxy in NAS-FPN, arXiv 1904.07392, Sec. 4.1).

    Args:
        kwargs: Those of mmdet's ``ResNet`` but ``depth``.
    """

    arch_settings = {10: (BasicBlock, (1, 1, 1, 1))}

    def __init__(self, **kwargs):
        super().__init__(10, **kwargs)
