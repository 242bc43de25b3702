"""RoI features of a pyramid by ONNX's own operator.

mmdet's extractor leaves out the levels that no RoI is on. In a graph that would be settled by the example image; here
every level is asked, also for no RoI at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mmlight.runtime.inference import replaced


class OnnxRoIAlign(torch.autograd.Function):
    """ONNX's ``RoiAlign`` in an exported graph; elsewhere the same by mmcv's ``roi_align``.

    Map ``(N, C, H, W)``, RoIs ``(R, 4)``, their images ``(R,)`` int64, (rows, columns) of bins, ``1 / stride``, samples
    of a bin and axis (0: as many as it has pixels), whether pixel centres lie at half-integers -> ``(R, C, P, Q)``.
    """

    @staticmethod
    def forward(
        ctx: Any,
        feature: Tensor,
        boxes: Tensor,
        images: Tensor,
        size: tuple[int, int],
        scale: float,
        samples: int,
        aligned: bool,
    ) -> Tensor:
        if torch.onnx.is_in_onnx_export():  # `symbolic` is what is exported, only the type of the result is looked at
            return feature.new_zeros(len(boxes), feature.shape[1], *size)
        from mmcv.ops import roi_align

        rois = torch.cat([images[:, None].to(boxes.dtype), boxes], 1)
        return roi_align(feature, rois, size, scale, samples, 'avg', aligned)

    @staticmethod
    def symbolic(
        g: Any,
        feature: Any,
        boxes: Any,
        images: Any,
        size: tuple[int, int],
        scale: float,
        samples: int,
        aligned: bool,
    ) -> Any:
        return g.op(
            'RoiAlign',
            feature,
            boxes,
            images,
            mode_s='avg',
            output_height_i=size[0],
            output_width_i=size[1],
            spatial_scale_f=scale,
            sampling_ratio_i=max(samples, 0),
            coordinate_transformation_mode_s='half_pixel' if aligned else 'output_half_pixel',
        )


@contextmanager
def exportable_extractors(network: nn.Module) -> Iterator[None]:
    """Let each of mmdet's extractors with mean ``RoIAlign`` layers inside ``network`` run :func:`extract` instead."""
    with ExitStack() as stack:
        module: Any
        for module in network.modules():
            if type(module).__name__ == 'SingleRoIExtractor' and all(map(_is_mean, module.roi_layers)):
                stack.enter_context(replaced(module, 'forward', partial(extract, module)))
        yield


def _is_mean(layer: nn.Module) -> bool:
    return type(layer).__name__ == 'RoIAlign' and layer.pool_mode == 'avg'


def extract(extractor: Any, maps: Sequence[Tensor], rois: Tensor) -> Tensor:
    """What a ``SingleRoIExtractor`` computes: RoIs ``(R, 5)`` as image, x1, y1, x2, y2 -> ``(R, C, P, Q)``."""
    levels = extractor.map_roi_levels(rois, len(maps))
    found = maps[0].new_zeros(len(rois), extractor.out_channels, *extractor.roi_layers[0].output_size)
    for level, (layer, feature) in enumerate(zip(extractor.roi_layers, maps, strict=True)):
        index = (levels == level).nonzero().squeeze(1)
        chosen = rois[index]
        settings = layer.output_size, layer.spatial_scale, layer.sampling_ratio, layer.aligned
        pooled = OnnxRoIAlign.apply(feature, chosen[:, 1:], chosen[:, 0].long(), *settings)
        found = found.index_put((index,), pooled)
    return found
