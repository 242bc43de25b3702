"""RoI extractor for operators that mmcv does not have."""

from collections.abc import Sequence

import torch
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
from torch import Tensor, nn

from mmlight.errors import InputError
from mmlight.registry import MODELS


@MODELS.register_module()
class PSRoIExtractor(SingleRoIExtractor):
    """mmdet's ``SingleRoIExtractor`` whose ``roi_layer`` is found in the registry instead of ``mmcv.ops``.

    RoIs keep their precision beside features of half precision, in which a coordinate of 1000 is off by pixels.

    Args:
        roi_layer: Config of the operator without ``spatial_scale``, e.g.
            ``dict(type='mmlight.PSRoIAlign', output_size=7)``.
        out_channels: Channels after pooling: those of the map divided by the number of bins.
        featmap_strides: Strides of the maps.

    Raises:
        InputError: in ``forward``, for a map that gives another number of channels after pooling.
    """

    def build_roi_layers(self, layer_cfg: dict, featmap_strides: Sequence[int]) -> nn.ModuleList:
        return nn.ModuleList(MODELS.build({**layer_cfg, 'spatial_scale': 1 / stride}) for stride in featmap_strides)

    def forward(self, feats: Sequence[Tensor], rois: Tensor, roi_scale_factor: float | None = None) -> Tensor:
        """Maps ``(N, C, H, W)`` and RoIs ``(R, 5)`` to ``(R, out_channels, P, Q)``, in float32 at least."""
        precise = [x if x.dtype == torch.float64 else x.float() for x in feats]
        rows, columns = self.roi_layers[0].output_size
        for x in feats:
            if x.shape[1] != self.out_channels * rows * columns:
                raise InputError(
                    f'PSRoIExtractor: out_channels {self.out_channels} and {rows} x {columns} bins need a map of '
                    f'{self.out_channels * rows * columns} channels, got {x.shape[1]}'
                )
        if len(precise) == 1:
            return self.roi_layers[0](precise[0], rois)  # also without RoIs a part of the graph
        return super().forward(precise, rois, roi_scale_factor)
