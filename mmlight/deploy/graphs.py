"""What an exported file computes: an image in, detections or labels out.

mmdet's own prediction filters boxes into lists of changing length, image by image. Here every step has outputs of fixed
size, so that a graph holds no loops and takes batches: lists are cut by ``TopK``, what is left over has score 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmlight.deploy.suppression import suppress
from mmlight.errors import InputError
from mmlight.models.necks import SuperFPN


class Normalize(nn.Module):
    """The arithmetic of a data preprocessor: BGR images of 0 to 255 to what the network reads."""

    mean: Tensor | None
    factor: Tensor

    def __init__(self, preprocessor: Any):
        super().__init__()
        self.flip = getattr(preprocessor, '_channel_conversion', getattr(preprocessor, 'channel_conversion', False))
        mean: Any = getattr(preprocessor, 'mean', None)
        std: Any = getattr(preprocessor, 'std', None)
        given = mean is not None and bool((mean != 0).any() or (std != 1).any())
        self.register_buffer('mean', mean.clone() if given else None)
        self.register_buffer('factor', 1 / std if given else None)

    def forward(self, image: Tensor) -> Tensor:
        if self.flip:
            image = image[:, [2, 1, 0]]
        return image if self.mean is None else (image - self.mean) * self.factor


class SegmentorGraph(nn.Module):
    """Image ``(N, 3, H, W)``, BGR, 0 to 255, to labels ``(N, H, W)`` uint8 or logits ``(N, classes, H, W)``.

    Raises:
        InputError: for a model that cannot be exported.
    """

    def __init__(self, model: BaseModel, logits: bool = False):
        super().__init__()
        for name in ('backbone', 'decode_head'):
            if not isinstance(getattr(model, name, None), nn.Module):
                raise InputError(f'{type(model).__name__}: cannot be exported, it has no single `{name}`')
        if model.test_cfg.get('mode', 'whole') != 'whole':
            raise InputError(f"test_cfg.mode: '{model.test_cfg.mode}' cannot be exported; must be 'whole'")
        self.normalize = Normalize(model.data_preprocessor)
        self.model = model
        self.logits = logits
        self.outputs = ('logits',) if logits else ('labels',)

    def forward(self, image: Tensor) -> Tensor:
        head = self.model.decode_head
        logits = head(self.model.extract_feat(self.normalize(image)))
        logits = F.interpolate(logits, image.shape[-2:], mode='bilinear', align_corners=head.align_corners)
        if self.logits:
            return logits
        if logits.shape[1] == 1:
            return (logits.sigmoid() > head.threshold)[:, 0].to(torch.uint8)
        return logits.argmax(1).to(torch.uint8 if logits.shape[1] <= 256 else torch.int32)


class DetectorGraph(nn.Module):
    """Image ``(N, 3, H, W)``, BGR, 0 to 255, to boxes ``(N, K, 4)`` (x1, y1, x2, y2 in its pixels), scores ``(N, K)``
    and labels ``(N, K)`` int64, sorted by score; ``K`` is the config's ``max_per_img``, what is left over has score 0
    and label -1.

    Known are one-stage detectors with anchors and two-stage detectors with one box head.

    Args:
        model: The detector.
        dynamic: Take images of any size: anchors are computed in the graph instead of stored.

    Raises:
        InputError: for a part that has no exported form.
    """

    outputs = ('boxes', 'scores', 'labels')

    def __init__(self, model: BaseModel, dynamic: bool = False):
        super().__init__()
        from mmdet.models.dense_heads import AnchorHead
        from mmdet.models.detectors import SingleStageDetector, TwoStageDetector
        from mmdet.models.roi_heads import StandardRoIHead

        self.two_stage = isinstance(model, TwoStageDetector)
        if not self.two_stage and not isinstance(model, SingleStageDetector):
            raise InputError(f'{type(model).__name__}: cannot be exported; only one- and two-stage detectors can')
        if isinstance(getattr(model, 'neck', None), SuperFPN):
            raise InputError('SuperFPN: a supernet cannot be exported; export a network of its search (WORK_DIR/front)')
        dense = model.rpn_head if self.two_stage else model.bbox_head
        # a subclass that decodes in its own way has another layout of predictions
        if not isinstance(dense, AnchorHead) or _overrides(dense, AnchorHead, 'predict_by_feat'):
            raise InputError(f'{type(dense).__name__}: cannot be exported; only heads with anchors can')
        _check_coder(dense)
        if self.two_stage:
            if type(model.roi_head) is not StandardRoIHead or model.roi_head.with_mask:
                what = 'masks' if getattr(model.roi_head, 'with_mask', False) else type(model.roi_head).__name__
                raise InputError(f'roi_head: {what} cannot be exported; only StandardRoIHead without masks can')
            if any(type(layer).__name__ == 'RoIPool' for layer in model.roi_head.modules()):
                raise InputError(
                    "roi_head: RoIPool cannot be exported, ONNX's MaxRoiPool rounds regions to whole pixels"
                )
            _check_coder(model.roi_head.bbox_head)
        self.normalize = Normalize(model.data_preprocessor)
        self.model = model
        self.dynamic = dynamic
        self.final = model.test_cfg.rcnn if self.two_stage else model.test_cfg
        self.overlap = _overlap(self.final, 'test_cfg.rcnn' if self.two_stage else 'test_cfg')
        if self.two_stage:
            self.proposal_overlap = _overlap(model.test_cfg.rpn, 'test_cfg.rpn')

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        sides = image.shape[-2:] if self.dynamic else map(int, image.shape[-2:])
        height, width = (torch.as_tensor(side, dtype=image.dtype) for side in sides)
        border = torch.stack([width, height, width, height])
        maps = self.model.extract_feat(self.normalize(image))
        if self.two_stage:
            boxes, scores, labels = self._second_stage(maps, border)
        else:
            boxes, scores, labels = self._candidates(self.model.bbox_head, maps, border, self.final)
        limit = self.final.max_per_img
        size = self._limit(limit, scores.shape[1])
        score_thr = self.final.get('score_thr', 0.0)
        boxes, scores, labels = suppress(boxes, scores, labels, limit, size, self.overlap, score_thr)
        found = scores > 0
        return boxes * found[..., None], scores, torch.where(found, labels, -1)

    def _second_stage(self, maps: Sequence[Tensor], border: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All classes of all proposals: boxes ``(1, M, 4)``, scores and labels ``(1, M)``."""
        first, roi_head, cfg = self.model.rpn_head, self.model.roi_head, self.model.test_cfg.rpn
        boxes, scores, levels = self._candidates(first, maps, border, cfg, by_level=True)
        size = self._limit(cfg.max_per_img, scores.shape[1])
        proposals, scores, _ = suppress(boxes, scores, levels, cfg.max_per_img, size, self.proposal_overlap, 0.0)
        rois = torch.cat([torch.zeros_like(scores[0, :, None]), proposals[0]], 1)
        found = roi_head._bbox_forward(maps, rois)
        head = roi_head.bbox_head
        classes = head.num_classes
        scores = found['cls_score'].softmax(-1)[:, :classes] * (scores[0, :, None] > 0)
        boxes = _decode(head.bbox_coder, proposals[0], found['bbox_pred'], border).unflatten(1, (-1, 4))
        boxes = boxes.expand(-1, classes, 4).flatten(0, 1)
        labels = torch.arange(classes, device=scores.device).expand_as(scores)
        return boxes[None], scores.flatten()[None], labels.flatten()[None]

    def _candidates(
        self, head: Any, maps: Sequence[Tensor], border: Tensor, cfg: ConfigDict, by_level: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The ``cfg.nms_pre`` best pairs of anchor and class of each level: boxes ``(N, M, 4)``, scores ``(N, M)``,
        and their classes, or levels, ``(N, M)``."""
        predictions = head(maps)
        if len(predictions) != 2:
            raise InputError(f'{type(head).__name__}: cannot be exported, it predicts more than scores and boxes')
        sizes = [scores.shape[-2:] if self.dynamic else tuple(map(int, scores.shape[-2:])) for scores in predictions[0]]
        anchors = head.prior_generator.grid_priors(sizes, device=predictions[0][0].device)
        found = []
        for level, (scores, deltas, priors) in enumerate(zip(*predictions, anchors, strict=True)):
            scores = scores.permute(0, 2, 3, 1).reshape(scores.shape[0], -1, head.cls_out_channels)
            scores = scores.sigmoid() if head.use_sigmoid_cls else scores.softmax(-1)[..., :-1]
            deltas = deltas.permute(0, 2, 3, 1).reshape(deltas.shape[0], -1, 4)
            classes = scores.shape[-1]
            limit = self._limit(cfg.get('nms_pre', 0), scores.shape[1] * classes)
            scores, index = scores.flatten(1).topk(limit)
            cell = index // int(classes)
            deltas = deltas.gather(1, cell[..., None].expand(-1, -1, 4))
            boxes = _decode(head.bbox_coder, priors[cell.flatten()], deltas.flatten(0, 1), border)
            boxes = boxes.view(*index.shape, 4)
            found.append((boxes, scores, torch.full_like(index, level) if by_level else index % int(classes)))
        boxes, scores, groups = (torch.cat(parts, 1) for parts in zip(*found, strict=True))
        least = cfg.get('min_bbox_size', -1)
        if least >= 0:
            sides = boxes[..., 2:] - boxes[..., :2]
            scores = scores * (sides > least).all(-1)
        return boxes, scores, groups

    def _limit(self, limit: int, size: int | Tensor) -> int | Tensor:
        """``limit``, or the ``size`` of the list where that is less; no ``limit``: 0 or below."""
        if not self.dynamic:
            return min(limit, int(size)) if limit > 0 else int(size)
        size = torch.as_tensor(size)
        return torch.minimum(torch.tensor(limit), size) if limit > 0 else size


def _decode(coder: nn.Module, boxes: Tensor, deltas: Tensor, border: Tensor) -> Tensor:
    """Boxes ``(M, 4)`` moved by their deltas ``(M, 4 * k)``, as ``(M, 4 * k)``, within the image."""
    from mmdet.models.task_modules.coders.delta_xywh_bbox_coder import delta2bbox

    moved = delta2bbox(
        boxes, deltas, coder.means, coder.stds, add_ctr_clamp=coder.add_ctr_clamp, ctr_clamp=coder.ctr_clamp
    )
    # in place, as there, would be a scatter in the graph
    return torch.minimum(moved.clamp(min=0).unflatten(1, (-1, 4)), border).flatten(1)


def _check_coder(head: nn.Module) -> None:
    coder = type(head.bbox_coder).__name__
    if coder != 'DeltaXYWHBBoxCoder':
        raise InputError(f'{type(head).__name__}: bbox_coder {coder} cannot be exported; only DeltaXYWHBBoxCoder can')


def _overrides(head: nn.Module, base: type, name: str) -> bool:
    return getattr(type(head), name) is not getattr(base, name)


def _overlap(cfg: ConfigDict, where: str) -> float:
    """The IoU of the suppression."""
    nms = cfg.nms
    if nms.get('type', 'nms') != 'nms' or nms.get('class_agnostic'):
        raise InputError(f"{where}.nms: {dict(nms)} cannot be exported; must be type='nms', class by class")
    return nms.get('iou_threshold', nms.get('iou_thr', 0.5))
