"""Soft suppression of all classes at once against the scalar definition, class by class."""

import numpy as np
import pytest
import torch

from mmlight.compat.soft_nms import _batched, soft_nms

from . import references
from .test_operators import DEVICES, random_boxes


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('min_score', [0.0, 1e-3, 0.3])
def test_every_class_as_the_scalar_definition(method, offset, min_score, device):
    boxes, scores = random_boxes(120, 3)
    boxes[:, 2:] += 1
    labels = torch.randint(0, 7, (120,), generator=torch.Generator().manual_seed(0)) * 3  # not all labels occur
    labels[labels == 6] = 0
    expected = {}
    for label in labels.unique():
        members = (labels == label).nonzero()[:, 0]
        of_class = boxes[members].numpy(), scores[members].numpy()
        indices, lowered = references.soft_nms(*of_class, 0.3, 0.5, np.float32(min_score), method, offset)
        expected.update(zip(members[indices].tolist(), lowered, strict=True))
    given = boxes.to(device), scores.to(device), labels.to(device)
    found, kept = soft_nms(*given, 0.3, 0.5, min_score, method, offset)
    assert sorted(kept.tolist()) == sorted(expected)
    np.testing.assert_allclose(found.cpu(), [expected[i] for i in kept.tolist()], rtol=1e-5, atol=1e-7)
    assert (found[:-1] >= found[1:]).all()


def test_nothing_and_more_steps_than_a_look():
    assert [len(part) for part in soft_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))] == [
        0,
        0,
    ]
    boxes, scores = random_boxes(600, 1)
    boxes[:, 2:] += 1
    found, kept = soft_nms(boxes, scores, torch.zeros(600, dtype=torch.long), 0.3, min_score=0.2)
    indices, lowered = references.soft_nms(boxes.numpy(), scores.numpy(), 0.3, 0.5, np.float32(0.2), 'linear')
    assert kept.tolist() == indices
    np.testing.assert_allclose(found, lowered, rtol=1e-5)


def test_the_cpu_keeps_mmcvs():
    calls = []
    wrapped = _batched(lambda *args: calls.append(args))
    wrapped(torch.zeros(1, 4), torch.zeros(1), torch.zeros(1), dict(type='soft_nms'))
    assert len(calls) == 1
