"""Labels of large photos are mmseg's."""

import copy

import pytest
import torch
from mmseg.structures import SegDataSample

from mmlight.runtime import large_photos
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build
from mmlight.runtime.large_photos import spare_memory


@pytest.fixture(scope='module')
def pair() -> tuple[torch.nn.Module, torch.nn.Module]:
    """mmseg's segmentor as it is, and made to spare memory."""
    torch.manual_seed(0)
    model = build(load_config('bisenet_xception39_sample')).eval()
    spared = copy.deepcopy(model)
    spare_memory(spared)
    return model, spared


@pytest.mark.parametrize('aligned', [False, True])
@pytest.mark.parametrize('meta', [{}, {'img_padding_size': [2, 3, 0, 5]}, {'padding_size': [0, 0, 1, 0]}])
def test_labels_are_equal(pair, meta, aligned, monkeypatch):
    monkeypatch.setattr(large_photos, 'LARGEST_LOGITS', 1000)
    logits = torch.randn(2, 8, 12, 20)
    samples = [SegDataSample(metainfo=dict(ori_shape=shape, **meta)) for shape in ((50, 70), (31, 90))]
    results = []
    for model in pair:
        model.align_corners = aligned
        results.append(model.postprocess_result(logits, copy.deepcopy(samples)))
    for one, other in zip(*results, strict=True):
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data.long())
        assert 'seg_logits' not in other


def test_small_photos_go_mmsegs_way(pair):
    sample = SegDataSample(metainfo=dict(ori_shape=(50, 70)))
    found = pair[1].postprocess_result(torch.randn(1, 8, 12, 20), [sample])[0]
    assert found.seg_logits.data.shape == (8, 50, 70)
