"""COCO's average precision without mmdet's rounding to three decimals, by which candidates of a search would tie."""

import contextlib
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmdet.datasets.api_wrappers import COCO, COCOeval
from mmdet.evaluation import CocoMetric

from mmlight.registry import METRICS

NAMES = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')


@METRICS.register_module()
class ExactCocoMetric(CocoMetric):
    """mmdet's ``CocoMetric`` for boxes, unrounded and silent.

    Only images that were predicted count, so part of a data set can be evaluated. Where nothing is found the value is
    0; -1 means that there are no objects of that size.

    Args:
        kwargs: Of ``CocoMetric``; ``metric`` must be ``'bbox'``.
    """

    _coco_api: Any

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, 'metric': 'bbox'})

    def compute_metrics(self, results: list) -> dict[str, float]:
        truths, predictions = zip(*results, strict=True)
        with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            prefix = str(Path(folder) / 'results')
            if self._coco_api is None:
                self._coco_api = COCO(self.gt_to_coco_json(truths, prefix))
            self.cat_ids = self._coco_api.get_cat_ids(cat_names=self.dataset_meta['classes'])
            self.img_ids = self._coco_api.get_img_ids()
            file = self.results2json(predictions, prefix)['bbox']
            if not json.loads(Path(file).read_text()):
                return {f'bbox_{name}': 0.0 for name in NAMES}
            evaluation = COCOeval(self._coco_api, self._coco_api.loadRes(file), 'bbox')
            evaluation.params.catIds = self.cat_ids
            evaluation.params.imgIds = sorted({prediction['img_id'] for prediction in predictions})
            evaluation.params.maxDets = list(self.proposal_nums)
            evaluation.params.iouThrs = self.iou_thrs
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return {f'bbox_{name}': float(value) for name, value in zip(NAMES, evaluation.stats, strict=False)}
