"""Candidates before NMS: the same as mmdet's, and counted over all levels."""

import pytest
import torch
from mmdet.models.dense_heads.anchor_head import AnchorHead
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from mmlight.models.heads.efficientdet_head import EfficientDetHead

CFG = dict(nms_pre=100, min_bbox_size=0, score_thr=0.3, nms=dict(type='nms', iou_threshold=0.5), max_per_img=300)


@pytest.fixture(scope='module')
def outputs():
    """A head and two images' scores and deltas; no two scores are equal."""
    init_default_scope('mmdet')
    torch.manual_seed(0)
    anchors = dict(
        type='AnchorGenerator', octave_base_scale=4, scales_per_octave=3, ratios=[1.0, 0.5, 2.0], strides=[8, 16]
    )
    coder = dict(type='DeltaXYWHBBoxCoder', target_means=[0, 0, 0, 0], target_stds=[1, 1, 1, 1])
    head = EfficientDetHead(5, 8, anchor_generator=anchors, bbox_coder=coder)
    sizes = ((12, 16), (6, 8))
    scores = [torch.randperm(2 * 45 * h * w).reshape(2, 45, h, w) / (2 * 45 * h * w) * 8 - 6 for h, w in sizes]
    return head, scores, [torch.randn(2, 36, *size) / 4 for size in sizes]


@pytest.mark.parametrize('change', [{}, {'nms_pre': -1}, {'score_thr': 0.0}, {'score_thr': 0.99}, {'nms_pre': 7}])
@pytest.mark.parametrize('suppressed', [True, False])
def test_the_same_as_mmdets(outputs, change, suppressed):
    head, scores, deltas = outputs
    metas = [dict(img_shape=(96, 128), scale_factor=(1.0, 1.0))] * 2
    cfg = ConfigDict(CFG, **change)
    if cfg.nms_pre == -1:  # mmdet's -1 leaves the last one out
        theirs = AnchorHead.predict_by_feat, ConfigDict(cfg, nms_pre=10**6)
    else:
        theirs = AnchorHead.predict_by_feat, cfg
    own = head.predict_by_feat(scores, deltas, None, metas, cfg, with_nms=suppressed)
    single = EfficientDetHead._predict_by_feat_single
    try:
        EfficientDetHead._predict_by_feat_single = AnchorHead._predict_by_feat_single
        reference = theirs[0](head, scores, deltas, None, metas, theirs[1], with_nms=suppressed)
    finally:
        EfficientDetHead._predict_by_feat_single = single
    for one, other in zip(own, reference, strict=True):
        assert torch.equal(one.labels, other.labels)
        torch.testing.assert_close(one.scores, other.scores, rtol=0, atol=1e-6)  # of vectorized sigmoids
        assert torch.equal(one.bboxes, other.bboxes)
    assert len(own[0]) or change == {'score_thr': 0.99}


def test_the_best_of_all_levels(outputs):
    """The same as sorting everything, wherever the levels' parts begin."""
    head, scores, deltas = outputs
    metas = [dict(img_shape=(96, 128), scale_factor=(1.0, 1.0))] * 2
    for image in range(2):
        everything = torch.cat([level[image].permute(1, 2, 0).flatten() for level in scores])
        cfg = ConfigDict(CFG, nms_pre=50, nms_pre_total=50, score_thr=0.0)
        kept = head.predict_by_feat(scores, deltas, None, metas, cfg, with_nms=False)[image]
        best = everything.sigmoid().sort().values[-50:]
        torch.testing.assert_close(kept.scores.sort().values, best, rtol=0, atol=1e-6)
