"""Candidates before NMS, counted over all levels."""

import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmlight.models.heads.best_of_levels import BestOfLevels


class Rest:
    def _bbox_post_process(self, results, cfg):
        return results


class Head(BestOfLevels, Rest):
    pass


def test_the_best_of_all_levels():
    """The same as sorting everything, wherever the levels' parts begin."""
    scores = torch.rand(500, generator=torch.Generator().manual_seed(0))
    results = InstanceData(scores=scores, labels=torch.arange(500))
    kept = Head()._bbox_post_process(results, ConfigDict(nms_pre_total=50))
    assert set(kept.labels.tolist()) == set(scores.argsort(descending=True)[:50].tolist())
    assert len(Head()._bbox_post_process(results, ConfigDict(nms_pre=50))) == 500
    assert len(Head()._bbox_post_process(results, ConfigDict(nms_pre_total=501))) == 500
