"""RoI extractor for operators that mmcv does not have."""

from collections.abc import Sequence

from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import nn

from mmlight.registry import MODELS


@MODELS.register_module()
class PSRoIExtractor(SingleRoIExtractor):
    """mmdet's ``SingleRoIExtractor`` whose ``roi_layer`` is found in the registry instead of ``mmcv.ops``.

    Args:
        roi_layer: Config of the operator without ``spatial_scale``, e.g.
            ``dict(type='mmlight.PSRoIAlign', output_size=7)``.
        out_channels: Channels after pooling: those of the map divided by the number of bins.
        featmap_strides: Strides of the maps.
    """

    def build_roi_layers(self, layer_cfg: dict, featmap_strides: Sequence[int]) -> nn.ModuleList:
        return nn.ModuleList(MODELS.build({**layer_cfg, 'spatial_scale': 1 / stride}) for stride in featmap_strides)
