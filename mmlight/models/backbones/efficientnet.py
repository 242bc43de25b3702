"""EfficientNet as EfficientDet uses it."""

from typing import Any

from mmdet.models.backbones import EfficientNet as _EfficientNet

from mmlight.layers.arithmetic import conv_cfg_of, declare_arithmetic
from mmlight.registry import MODELS


@MODELS.register_module()
class EfficientNet(_EfficientNet):
    """mmdet's ``EfficientNet`` (arXiv 1905.11946) with the authors' norms and activation, which says how it pads.

    Args:
        arch: ``'b0'`` to ``'b7'``.
        padding: ``'same'`` as the authors' TensorFlow code, ``'symmetric'`` for weights trained in PyTorch.
        norm_cfg: Normalisation layers.
        act_cfg: Activation; in place, training copies what it overwrites.
        kwargs: Those of mmdet's ``EfficientNet`` but ``conv_cfg``.

    Raises:
        InputError: for another padding; later, for weights of another layout, padding or epsilon.
    """

    def __init__(
        self,
        arch: str = 'b0',
        padding: str = 'same',
        norm_cfg: dict = dict(type='BN', eps=1e-3, momentum=0.01),
        act_cfg: dict = dict(type='SiLU', inplace=False),
        **kwargs: Any,
    ):
        conv_cfg = conv_cfg_of('EfficientNet', padding)
        super().__init__(arch, conv_cfg=conv_cfg, norm_cfg=norm_cfg, act_cfg=act_cfg, **kwargs)
        declare_arithmetic(self, {'padding': 'same'}, padding=padding)
