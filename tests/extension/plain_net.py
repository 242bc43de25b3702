"""A backbone with weights of another implementation, as a user writes it: 3x3 convolutions, five in three stages."""

from mmcv.cnn import ConvModule

from mmlight.layers.foreign_weights import accept_foreign_weights
from mmlight.models.backbones.staged import StagedBackbone
from mmlight.registry import MODELS, WEIGHTS
from mmlight.tables.weight_layouts import Layout

STAGES = ((16, 1), (32, 2), (64, 2))


@WEIGHTS.register_module()
def plain_net():
    """Theirs are `features.0` to `features.5` without stages, each a convolution and a norm."""
    units = [f'layers.{stage}.{unit}' for stage, (_, count) in enumerate(STAGES) for unit in range(count)]
    leaves = {'0': 'conv', '1': 'bn'}
    names = {f'features.{i}.{there}': f'{unit}.{leaves[there]}' for i, unit in enumerate(units, 1) for there in leaves}
    return [Layout('flat', 'PlainNet', names, {f'features.0.{there}': f'conv1.{leaves[there]}' for there in leaves})]


def unit(stage, number, in_channels, out_channels, stride, dilation):
    return ConvModule(in_channels, out_channels, 3, stride, dilation, dilation, norm_cfg=dict(type='BN'))


@MODELS.register_module()
class PlainNet(StagedBackbone):
    def __init__(self, **options):
        super().__init__(8, False, STAGES, unit, None, **options)
        accept_foreign_weights(self, 'PlainNet')
