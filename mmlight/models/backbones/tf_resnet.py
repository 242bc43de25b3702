"""ResNet as TensorFlow's detectors compute it."""

from typing import Any

from mmdet.models.backbones import ResNet

from mmlight.layers.arithmetic import PADDINGS, conv_cfg_of, declare_arithmetic, max_pool
from mmlight.registry import MODELS


@MODELS.register_module()
class TFResNet(ResNet):
    """mmdet's ``ResNet`` with the padding of TensorFlow, for weights trained there.

    Args:
        depth: As in mmdet.
        padding: ``'same-pool'`` as tensorflow/tpu (NAS-FPN, SpineNet's baselines), ``'same'`` as the Model Garden;
            ``'symmetric'`` is mmdet's own.
        kwargs: Those of mmdet's ``ResNet`` but ``conv_cfg``.

    Raises:
        InputError: for another padding; later, for weights of another, or that say none while it is not
            ``'symmetric'``.
    """

    def __init__(self, depth: int, padding: str = 'same-pool', **kwargs: Any):
        super().__init__(depth, conv_cfg=conv_cfg_of('TFResNet', padding, tuple(PADDINGS)), **kwargs)
        self.maxpool = max_pool(padding)
        declare_arithmetic(self, {'padding': 'symmetric'}, padding=padding)  # as torchvision's and mmdet's
