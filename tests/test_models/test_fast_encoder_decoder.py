"""FastEncoderDecoder: the labels of mmseg's EncoderDecoder."""

import copy

import pytest
import torch
from mmseg.structures import SegDataSample

from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build


@pytest.fixture(scope='module')
def pair() -> tuple[torch.nn.Module, torch.nn.Module]:
    """mmseg's segmentor and ours with the same weights."""
    torch.manual_seed(0)
    cfg = load_config('bisenet_xception39_sample')
    stock = build(cfg).eval()
    cfg.model.type = 'mmlight.FastEncoderDecoder'
    fast = build(cfg).eval()
    fast.load_state_dict(stock.state_dict())
    return stock, fast


def samples(count: int, size: tuple[int, int], **meta) -> list[SegDataSample]:
    return [SegDataSample(metainfo=dict(ori_shape=size, img_shape=size, pad_shape=size) | meta) for _ in range(count)]


@pytest.mark.parametrize('size', [(64, 96), (67, 101)])
def test_labels_are_equal_and_logits_are_left_out(pair, size):
    image = torch.rand(2, 3, *size)
    expected, found = (model.predict(image, samples(2, size)) for model in pair)
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one.pred_sem_seg.data, other.pred_sem_seg.data)
        assert len(torch.unique(one.pred_sem_seg.data)) > 1
        assert 'seg_logits' not in other


def test_without_samples(pair):
    image = torch.rand(1, 3, 64, 64)
    expected, found = (model.predict(image)[0].pred_sem_seg.data for model in pair)
    assert torch.equal(expected, found)


@pytest.mark.parametrize(
    'meta',
    [
        dict(ori_shape=(120, 150)),
        dict(padding_size=[0, 6, 0, 4], ori_shape=(60, 90)),
        dict(img_padding_size=[0, 0, 0, 0], flip=True, flip_direction='horizontal'),
        dict(flip=False, flip_direction=None),
    ],
    ids=['resized', 'padded', 'flipped', 'other-half-of-augmentation'],
)
def test_other_images_go_the_usual_way(pair, meta):
    image = torch.rand(1, 3, 64, 96)
    expected, found = (model.predict(image, samples(1, (64, 96), **copy.deepcopy(meta)))[0] for model in pair)
    assert torch.equal(expected.pred_sem_seg.data, found.pred_sem_seg.data)
    assert torch.equal(expected.seg_logits.data, found.seg_logits.data)


def test_sliding_windows(pair):
    image = torch.rand(1, 3, 64, 96)
    results = []
    for model in pair:
        model.test_cfg.update(mode='slide', crop_size=(64, 64), stride=(32, 32))
        results.append(model.predict(image, samples(1, (64, 96)))[0].pred_sem_seg.data)
        model.test_cfg.update(mode='whole')
    assert torch.equal(*results)
