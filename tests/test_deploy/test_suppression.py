"""Suppression of fixed size against a loop over boxes."""

import numpy as np
import pytest
import torch

from mmlight.deploy.suppression import suppress


def by_hand(boxes, scores, groups, limit, overlap, score_thr):
    """Indices of the boxes that stay, best first, of one image."""
    kept = []
    for i in np.argsort(-scores, kind='stable'):
        if scores[i] <= score_thr or len(kept) == limit:
            break
        for j in kept:
            if groups[i] == groups[j]:
                low, high = np.maximum(boxes[i, :2], boxes[j, :2]), np.minimum(boxes[i, 2:], boxes[j, 2:])
                common = np.prod((high - low).clip(0))
                areas = [np.prod(box[2:] - box[:2]) for box in (boxes[i], boxes[j])]
                if common / (sum(areas) - common) > overlap:
                    break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize(('overlap', 'score_thr', 'limit'), [(0.5, 0.3, 100), (0.3, 0.0, 100), (0.7, 0.2, 7)])
def test_against_a_loop(overlap, score_thr, limit):
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 60, (3, 120, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 40, (3, 120, 2))], -1)
    scores, groups = rng.uniform(0, 1, (3, 120)), rng.integers(0, 3, (3, 120))
    scores[2] *= score_thr  # nothing is left of the third image, where there is a threshold
    tensors = (torch.from_numpy(x) for x in (boxes.astype(np.float32), scores.astype(np.float32), groups))
    found = [x.numpy() for x in suppress(*tensors, limit, min(limit, 120), overlap, score_thr)]
    assert found[0].shape == (3, min(limit, 120), 4)
    for image in range(3):
        kept = by_hand(boxes[image], scores[image], groups[image], limit, overlap, score_thr)
        number = len(kept)
        np.testing.assert_allclose(found[0][image, :number], boxes[image, kept], atol=1e-4)
        np.testing.assert_allclose(found[1][image, :number], scores[image, kept], atol=1e-6)
        assert found[2][image, :number].tolist() == groups[image, kept].tolist()
        assert (found[1][image, number:] == 0).all()
