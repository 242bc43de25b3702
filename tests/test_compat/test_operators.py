"""mmcv's operators against scalar references; through ``mmcv.ops``, so that a compiled mmcv is tested the same way."""

import sys

import numpy as np
import pytest
import torch
from mmcv import ops

from . import references

DEVICES = ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']
IS_FALLBACK = getattr(sys.modules['mmcv._ext'], '__is_fallback__', False)
on_each_device = pytest.mark.parametrize('device', DEVICES)


def skip_without_kernel(device):
    if device == 'cpu' and not IS_FALLBACK:
        pytest.skip('the compiled mmcv has no CPU kernel for this operator')


def random_boxes(count, seed, ties=False, size=100):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, size, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(0, size / 2, (count, 2))], 1).astype(np.float32)
    scores = rng.uniform(0, 1, count).astype(np.float32)
    if ties:
        boxes, scores = boxes.round(-1), scores.round(1)
    return torch.from_numpy(boxes), torch.from_numpy(scores)


def order_of(scores):
    return scores.sort(0, descending=True)[1].tolist()


@on_each_device
@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('count', [1, 2, 63, 64, 65, 200])
def test_nms(device, offset, ties, count):
    for seed, threshold in ((0, 0.3), (1, 0.5), (2, 0.7)):
        boxes, scores = random_boxes(count, seed, ties)
        boxes, scores = boxes.to(device), scores.to(device)
        dets, kept = ops.nms(boxes, scores, threshold, offset=offset)
        assert kept.tolist() == references.nms(boxes.cpu().numpy(), order_of(scores), threshold, offset)
        assert torch.equal(dets, torch.cat([boxes, scores[:, None]], 1)[kept])
        assert kept.device == boxes.device


@on_each_device
def test_nms_of_nothing(device):
    dets, kept = ops.nms(torch.zeros(0, 4, device=device), torch.zeros(0, device=device), 0.5)
    assert dets.shape == (0, 5)
    assert kept.dtype == torch.long
    assert kept.shape == (0,)


def test_nms_keeps_a_box_at_exactly_the_threshold():
    boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1]])  # IoU is 1/2
    scores = torch.tensor([0.9, 0.8])
    assert ops.nms(boxes, scores, 0.5)[1].tolist() == [0, 1]
    assert ops.nms(boxes, scores, 0.49)[1].tolist() == [0]


def test_nms_options_of_the_wrapper():
    boxes, scores = random_boxes(50, 3)
    everything = ops.nms(boxes, scores, 0.5)[1]
    assert ops.nms(boxes, scores, 0.5, max_num=4)[1].tolist() == everything[:4].tolist()
    few = ops.nms(boxes, scores, 0.5, score_threshold=0.5)[1]
    assert few.tolist() == [i for i in everything.tolist() if scores[i] > 0.5]


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('offset', [0, 1])
def test_soft_nms(method, ties, offset):
    for seed, (count, min_score) in enumerate([(1, 1e-3), (2, 0.5), (40, 1e-3), (80, 0.2), (80, 0.0)]):
        boxes, scores = random_boxes(count, seed, ties)
        boxes[:, 2:] += 1.0  # no empty box: its IoU with itself is 0 / 0
        dets, kept = ops.soft_nms(boxes, scores, 0.3, 0.5, min_score, method, offset)
        indices, lowered = references.soft_nms(
            boxes.numpy(), scores.numpy(), 0.3, 0.5, np.float32(min_score), method, offset
        )
        assert kept.tolist() == indices
        assert torch.equal(dets[:, :4], boxes[kept])
        np.testing.assert_allclose(dets[:, 4], lowered, rtol=1e-5, atol=1e-7)


def test_soft_nms_of_nothing():
    dets, kept = ops.soft_nms(torch.zeros(0, 4), torch.zeros(0), 0.3)
    assert dets.shape == (0, 5)
    assert kept.shape == (0,)


@pytest.mark.parametrize('ties', [False, True])
def test_nms_match(ties):
    for seed in range(4):
        boxes, scores = random_boxes(60, seed, ties)
        boxes[:, 2:] += 1.0
        groups = ops.nms_match(torch.cat([boxes, scores[:, None]], 1), 0.4)
        assert [group.tolist() for group in groups] == references.nms_match(boxes.numpy(), order_of(scores), 0.4)


def features_and_rois(dtype, device='cpu'):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 7, 9, generator=generator, dtype=torch.float64)
    rois = [
        [0, 4.0, 6.0, 50.0, 40.0],
        [1, -30.0, -25.0, 20.0, 15.0],  # partly outside
        [0, 60.0, 40.0, 120.0, 100.0],  # partly outside
        [1, 200.0, 200.0, 260.0, 230.0],  # wholly outside
        [1, 10.0, 10.0, 10.5, 10.25],  # smaller than a pixel
        [0, 0.0, 0.0, 71.0, 55.0],  # the whole map
        [0, 16.0, 8.0, 32.0, 24.0],  # corners on pixels
    ]
    return features.to(device, dtype), torch.tensor(rois, dtype=dtype, device=device)


@on_each_device
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 1, 2])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align(device, aligned, ratio, mode):
    features, rois = features_and_rois(torch.float32, device)
    output = ops.roi_align(features, rois, (3, 4), 1 / 8, ratio, mode, aligned)
    expected = references.roi_align(
        features.cpu().double().numpy(), rois.cpu().double().numpy(), (3, 4), 1 / 8, ratio, mode, aligned
    )
    np.testing.assert_allclose(output.cpu(), expected, atol=1e-4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='compares the GPU with the CPU')
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_gradient_on_the_gpu(aligned, ratio, mode):
    gradients = []
    for device in DEVICES:
        features, rois = features_and_rois(torch.float32, device)
        features.requires_grad_()
        ops.roi_align(features, rois, (3, 4), 1 / 8, ratio, mode, aligned).square().sum().backward()
        gradients.append(features.grad.cpu())
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 1, 2])
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_gradient(aligned, ratio, mode):
    features, rois = features_and_rois(torch.float64)
    features = features[:, :1, :4, :5].clone().requires_grad_()  # finite differences take two calls per pixel
    assert torch.autograd.gradcheck(
        lambda x: ops.roi_align(x, rois, (3, 2), 1 / 8, ratio, mode, aligned), features, atol=1e-3, fast_mode=True
    )


@on_each_device
def test_roi_align_of_nothing(device):
    features, _ = features_and_rois(torch.float32, device)
    features.requires_grad_()
    output = ops.roi_align(features, torch.zeros(0, 5, device=device), (3, 3), 1.0, 2, 'avg', True)
    assert output.shape == (0, 3, 3, 3)
    output.sum().backward()
    assert not features.grad.any()


@pytest.mark.skipif(not IS_FALLBACK, reason='about the fallback')
@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_roi_align_in_small_chunks(mode, monkeypatch):
    from mmlight.compat.ops_fallback import roi_align

    features, rois = features_and_rois(torch.float32)
    results = []
    for limit in (roi_align._MAX_ENTRIES, 100):
        monkeypatch.setattr(roi_align, '_MAX_ENTRIES', limit)
        leaf = features.clone().requires_grad_()
        output = ops.roi_align(leaf, rois, (3, 4), 1 / 8, 0, mode, True)
        output.square().sum().backward()
        results.append((output.detach(), leaf.grad))
    for whole, chunked in zip(*results, strict=True):
        torch.testing.assert_close(whole, chunked)


@pytest.mark.skipif(not IS_FALLBACK, reason='about the fallback')
def test_half_precision_is_computed_in_single():
    features, rois = features_and_rois(torch.float16)
    output = ops.roi_align(features, rois, (3, 4), 1 / 8, 2, 'avg', True)
    exact = ops.roi_align(features.float(), rois.float(), (3, 4), 1 / 8, 2, 'avg', True)
    assert output.dtype == torch.float16
    assert torch.equal(output, exact.half())
    boxes, scores = random_boxes(50, 0)
    assert torch.equal(
        ops.nms(boxes.half(), scores.half(), 0.5)[1], ops.nms(boxes.half().float(), scores.half().float(), 0.5)[1]
    )


@on_each_device
def test_roi_pool(device):
    skip_without_kernel(device)
    features, rois = features_and_rois(torch.float32, device)
    rois = torch.cat([rois, rois.new_tensor([[0, 30.0, 30.0, 10.0, 10.0]])])  # of negative size
    output = ops.roi_pool(features, rois, (3, 4), 1 / 8)
    expected = references.roi_pool(features.cpu().numpy(), rois.cpu().double().numpy(), (3, 4), 1 / 8)
    np.testing.assert_allclose(output.cpu(), expected, atol=1e-6)


def test_roi_pool_gradient():
    skip_without_kernel('cpu')
    features, rois = features_and_rois(torch.float64)
    features = features[:, :1, :4, :5].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: ops.roi_pool(x, rois, (3, 2), 1 / 8), features, fast_mode=True)


@on_each_device
@pytest.mark.parametrize('weighted', [False, True])
def test_sigmoid_focal_loss(device, weighted):
    skip_without_kernel(device)
    logits = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0, 1, 2, 3, 4, 4] if not weighted else [0, 1, 2, 3, 0, 1])  # 4 is background
    weight = torch.tensor([0.5, 1.0, 2.0, 3.0]) if weighted else None
    output = ops.sigmoid_focal_loss(
        logits.to(device), target.to(device), 2.0, 0.25, None if weight is None else weight.to(device), 'none'
    )
    expected = references.sigmoid_focal_loss(logits.double().numpy(), target.numpy(), 2.0, 0.25, weight)
    np.testing.assert_allclose(output.cpu(), expected, atol=1e-6)


def test_sigmoid_focal_loss_gradient():
    skip_without_kernel('cpu')
    logits = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target = torch.tensor([0, 1, 2, 3, 3])
    assert torch.autograd.gradcheck(lambda x: ops.sigmoid_focal_loss(x, target, 2.0, 0.25, None, 'mean'), logits)


@pytest.mark.skipif(not IS_FALLBACK, reason='about the fallback')
def test_missing_operator_says_its_name():
    with pytest.raises(NotImplementedError, match='prroi_pool_forward'):
        ops.prroi_pool(torch.zeros(1, 2, 5, 5), torch.zeros(1, 5), (3, 3))


def test_version_strings():
    assert isinstance(ops.get_compiler_version(), str)
    assert isinstance(ops.get_compiling_cuda_version(), str)
