"""Candidates before NMS: the best logits are found first, as TensorFlow's detectors do, and only they are decoded."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from mmlight.registry import Mixin


class BestOfLevels(Mixin):
    """For mmdet's anchor heads with sigmoid scores: the same detections, without a sigmoid and a sort of all scores.

    mmdet takes the sigmoid of every class of every anchor, and sorts all that are above ``score_thr``: in a young
    detector that is every one, 3.9 million for 512 x 512 pixels. Here each level's best ``nms_pre`` logits are taken,
    then their sigmoid. Of equal scores others may be kept.

    ``test_cfg.nms_pre_total`` keeps so many candidates of all levels, the best ones (5000 in google/automl and
    tensorflow/tpu). ``nms_pre``, mmdet's number for each level, must not be smaller.
    """

    def _predict_by_feat_single(
        self,
        cls_score_list: Sequence[Tensor],
        bbox_pred_list: Sequence[Tensor],
        score_factor_list: Sequence[Tensor | None],
        mlvl_priors: Sequence[Tensor],
        img_meta: dict,
        cfg: ConfigDict | None,
        **kwargs: Any,
    ) -> InstanceData:
        cfg = self.test_cfg if cfg is None else cfg
        if not self.use_sigmoid_cls or score_factor_list[0] is not None:
            args = cls_score_list, bbox_pred_list, score_factor_list, mlvl_priors, img_meta, cfg
            return super()._predict_by_feat_single(*args, **kwargs)
        levels = zip(cls_score_list, bbox_pred_list, mlvl_priors, strict=True)
        candidates = [self._best(*level, cfg) for level in levels]
        logits, deltas, priors, labels = map(torch.cat, zip(*candidates, strict=True))
        total = cfg.get('nms_pre_total')
        if total is not None and len(logits) > total:
            best = logits.topk(total).indices
            logits, deltas, priors, labels = logits[best], deltas[best], priors[best], labels[best]
        boxes = self.bbox_coder.decode(priors, deltas, max_shape=img_meta['img_shape'])
        results = InstanceData(bboxes=boxes, scores=logits.sigmoid(), labels=labels)
        return self._bbox_post_process(results=results, cfg=cfg, img_meta=img_meta, **kwargs)

    def _best(
        self, scores: Tensor, deltas: Tensor, priors: Tensor, cfg: ConfigDict
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The best candidates of a level: logits, deltas, anchors, labels."""
        scores = scores.unflatten(0, (-1, self.cls_out_channels))  # (anchors of a cell, classes, height, width)
        deltas = deltas.unflatten(0, (-1, self.bbox_coder.encode_size))
        best = scores.amax(1).permute(1, 2, 0)  # in the order of the priors
        most = cfg.get('nms_pre', -1)
        most = scores.numel() if most <= 0 else most
        # no candidate beyond the best `most` anchors can be among the best `most` candidates
        place = best.flatten().topk(min(most, best.numel())).indices
        _, width, anchors = best.shape  # torch.unravel_index copies the shape to the device
        anchor = place % anchors
        y, x = place // (anchors * width), place // anchors % width
        logits = scores[anchor, :, y, x]
        logits, index = logits.flatten().topk(min(most, logits.numel()))
        index = index[logits.sigmoid() > cfg.get('score_thr', 0)]
        chosen = index.div(self.cls_out_channels, rounding_mode='floor')
        own = deltas[anchor[chosen], :, y[chosen], x[chosen]]
        return logits[: len(index)], own, priors[place[chosen]], index % self.cls_out_channels
