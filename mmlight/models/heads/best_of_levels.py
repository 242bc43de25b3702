"""The number of candidates before NMS counted over all levels, as TensorFlow's detectors do."""

from mmengine.config import ConfigDict
from mmengine.structures import InstanceData


class BestOfLevels:
    """For heads of mmdet: ``test_cfg.nms_pre_total`` keeps so many candidates of all levels before NMS, the best ones
    (5000 in google/automl and tensorflow/tpu). ``nms_pre``, mmdet's number for each level, must not be smaller."""

    def _bbox_post_process(self, results: InstanceData, cfg: ConfigDict, *args, **kwargs) -> InstanceData:
        total = cfg.get('nms_pre_total')
        if total is not None and len(results) > total:
            results = results[results.scores.topk(total).indices]
        return super()._bbox_post_process(results, cfg, *args, **kwargs)
