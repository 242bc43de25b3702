"""Operators that few models need: against scalar definitions, other implementations and closed forms."""

import math
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmcv import ops
from torch import Tensor

pytestmark = pytest.mark.skipif(
    not getattr(sys.modules['mmcv._ext'], '__is_fallback__', False), reason='about the fallback'
)
DEVICES = ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']
on_each_device = pytest.mark.parametrize('device', DEVICES)


def normal(*shape: int, device='cpu', dtype=torch.float64, seed=0) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed)).to(device)


def bilinear(plane, y, x):
    """Value between pixels; 0 for each of the four that lies outside."""
    total, low_y, low_x = 0.0, math.floor(y), math.floor(x)
    for row, column in ((low_y, low_x), (low_y, low_x + 1), (low_y + 1, low_x), (low_y + 1, low_x + 1)):
        if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
            total += plane[row, column] * (1 - abs(y - row)) * (1 - abs(x - column))
    return total


@on_each_device
@pytest.mark.parametrize('modulated', [False, True])
@pytest.mark.parametrize(
    ('groups', 'deform_groups', 'stride', 'padding', 'dilation', 'size'),
    [(1, 1, (1, 1), (1, 1), 1, (3, 3)), (1, 2, (1, 2), (2, 0), 2, (3, 2)), (2, 4, (2, 1), (1, 2), 1, (3, 2))],
)
def test_deformable_convolution(modulated, groups, deform_groups, stride, padding, dilation, size, device):
    rows, columns = size
    weight = normal(4, 4 // groups, rows, columns, device=device)
    image = normal(1, 4, 5, 6, device=device, seed=1)
    height, width = F.conv2d(image[:, :1], weight[:1, :1], None, stride, padding, dilation).shape[2:]
    offset = 2 * normal(1, deform_groups * 2 * rows * columns, height, width, device=device, seed=2)
    mask = normal(1, deform_groups * rows * columns, height, width, device=device, seed=3).sigmoid()

    def convolve(i, o, w, *m):
        if modulated:
            return ops.modulated_deform_conv2d(i, o, *m, w, None, stride, padding, dilation, groups, deform_groups)
        return ops.deform_conv2d(i, o, w, stride, padding, dilation, groups, deform_groups)

    leaves = [image, offset, weight, *([mask] if modulated else [])]
    expected = np.zeros((1, 4, height, width))
    planes, shifts, factors, kernel = (value.cpu().numpy() for value in (image, offset, mask, weight))
    for out, y, x, c, row, column in np.ndindex(4, height, width, 4 // groups, rows, columns):
        channel = out // (4 // groups) * (4 // groups) + c
        tap = channel // (4 // deform_groups) * rows * columns + row * columns + column
        at_y = y * stride[0] - padding[0] + row * dilation + shifts[0, 2 * tap, y, x]
        at_x = x * stride[1] - padding[1] + column * dilation + shifts[0, 2 * tap + 1, y, x]
        value = bilinear(planes[0, channel], at_y, at_x) * (factors[0, tap, y, x] if modulated else 1)
        expected[0, out, y, x] += value * kernel[out, c, row, column]
    np.testing.assert_allclose(convolve(*leaves).cpu(), expected, atol=1e-9)
    leaves = [leaf.requires_grad_() for leaf in leaves]
    assert torch.autograd.gradcheck(convolve, leaves, fast_mode=True)


def test_deformable_convolution_without_offset_is_convolution():
    pack = ops.DeformConv2dPack(4, 6, 3, padding=1)  # its offsets begin as zeros
    image = normal(1, 4, 50, 70, dtype=torch.float32)
    torch.testing.assert_close(pack(image), F.conv2d(image, pack.weight, padding=1), atol=1e-5, rtol=1e-5)
    pack(image).sum().backward()  # the derivative by an offset at a whole pixel is that to the right
    bias = pack.conv_offset.bias.grad.clone()
    with torch.no_grad():
        at, step = pack.conv_offset.bias, 1e-3
        before = pack(image).sum()
        at[9] += step
    assert ((pack(image).sum() - before) / step).item() == pytest.approx(bias[9].item(), rel=0.02)


def test_deformable_convolution_refuses_offsets_of_another_size():
    with pytest.raises(RuntimeError, match=r'spatial size of offset, expected \(3, 3\), got \(4, 4\)'):
        ops.deform_conv2d(torch.zeros(1, 2, 5, 5), torch.zeros(1, 18, 4, 4), torch.zeros(2, 2, 3, 3))


@pytest.mark.parametrize('ratio', [0, 2])
def test_deformable_pooling(ratio):
    features = normal(2, 3, 9, 11)
    rois = torch.tensor([[0, 4.0, 6.0, 50.0, 40.0], [1, 10, 8, 70, 60], [1, 0, 0, 8, 8]], dtype=torch.float64)
    plain = ops.roi_align(features, rois, (3, 4), 1 / 8, ratio, 'avg', True)
    pool = ops.deform_roi_pool
    torch.testing.assert_close(pool(features, rois, None, (3, 4), 1 / 8, ratio, 0.1), plain)
    offset = torch.zeros(3, 2, 3, 4, dtype=torch.float64)
    offset[:, 0], offset[:, 1] = 1.0, -2.0  # of a tenth of the region's size
    size = (rois[:, 3:] - rois[:, 1:3]).repeat(1, 2)
    moved = torch.cat([rois[:, :1], rois[:, 1:] + size * torch.tensor([0.1, -0.2, 0.1, -0.2])], 1)
    expected = ops.roi_align(features, moved, (3, 4), 1 / 8, ratio, 'avg', True)
    torch.testing.assert_close(pool(features, rois, offset, (3, 4), 1 / 8, ratio, 0.1), expected)
    leaves = features[:, :1].clone().requires_grad_(), normal(3, 2, 3, 4, seed=5).requires_grad_()
    # not at the outermost pixels, where the operator's gradient is by definition not the derivative
    inner = torch.tensor([[0, 24.0, 24, 48, 40], [1, 20, 20, 60, 44], [1, 24, 24, 40, 40]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda f, o: pool(f, inner, o, (3, 4), 1 / 8, ratio, 0.1), leaves, fast_mode=True)


@on_each_device
def test_attention_of_the_gpu_is_that_of_the_cpu(device):
    from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction, multi_scale_deformable_attn_pytorch

    shapes = torch.tensor([[6, 4], [3, 2]], device=device)
    starts = torch.tensor([0, 24], device=device)
    values = [normal(2, 30, 2, 4, device=device), normal(2, 5, 2, 2, 3, 2, device=device, seed=1).sigmoid()]
    values.append(normal(2, 5, 2, 2, 3, device=device, seed=2))
    results = []
    for own in (True, False):
        v, at, w = leaves = [value.clone().requires_grad_() for value in values]
        if own:
            output = MultiScaleDeformableAttnFunction.apply(v, shapes, starts, at, w, 2)
        else:
            output = multi_scale_deformable_attn_pytorch(v, shapes, at, w)
        output.square().sum().backward()
        results.append([output.detach(), *(leaf.grad for leaf in leaves)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_masked_convolution():
    layer = ops.MaskedConv2d(3, 5, 3, padding=1)
    image, mask = normal(1, 3, 8, 9, dtype=torch.float32), normal(1, 8, 9, seed=1) > 0
    expected = F.conv2d(image, layer.weight, layer.bias, padding=1) * mask
    torch.testing.assert_close(layer(image, mask), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('operator', [ops.carafe, ops.carafe_naive])
def test_carafe(operator):
    features, masks = normal(1, 4, 3, 5), normal(1, 2 * 9, 6, 10, seed=1)
    expected = np.zeros((1, 4, 6, 10))
    for c, y, x in np.ndindex(4, 6, 10):
        for dy, dx in np.ndindex(3, 3):
            row, column = y // 2 + dy - 1, x // 2 + dx - 1
            if 0 <= row < 3 and 0 <= column < 5:
                expected[0, c, y, x] += features[0, c, row, column] * masks[0, c // 2 * 9 + dy * 3 + dx, y, x]
    np.testing.assert_allclose(operator(features, masks, 3, 2, 2), expected)
    if operator is ops.carafe:
        leaves = features.requires_grad_(), masks.requires_grad_()
        assert torch.autograd.gradcheck(lambda f, m: operator(f, m, 3, 2, 2), leaves, fast_mode=True)


@pytest.mark.parametrize('kind', ['collect', 'distribute'])
def test_psa_mask(kind):
    masks = normal(2, 3 * 5, 4, 6)
    expected = np.zeros((2, 24, 4, 6))
    for n, y, x, row, column in np.ndindex(2, 4, 6, 3, 5):
        to_y, to_x = y + row - 1, x + column - 2
        if 0 <= to_y < 4 and 0 <= to_x < 6:
            value = masks[n, row * 5 + column, y, x]
            if kind == 'collect':
                expected[n, to_y * 6 + to_x, y, x] = value
            else:
                expected[n, y * 6 + x, to_y, to_x] = value
    layer = ops.PSAMask(kind, (3, 5))
    np.testing.assert_array_equal(layer(masks), expected)
    assert torch.autograd.gradcheck(layer, masks.requires_grad_(), fast_mode=True)


@pytest.mark.parametrize('weighted', [False, True])
def test_softmax_focal_loss(weighted):
    logits, target = normal(6, 4).requires_grad_(), torch.tensor([0, 1, 2, 3, 3, 0])
    weight = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64) if weighted else None
    loss = ops.softmax_focal_loss(logits, target, 2.0, 0.25, weight, 'sum')
    p = logits.softmax(1).gather(1, target[:, None])[:, 0]
    expected = (-0.25 * (1 - p) ** 2 * p.log() * (1 if weight is None else weight[target])).sum()
    torch.testing.assert_close(loss, expected)
    gradient = torch.autograd.grad(loss, logits)[0]
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])


@pytest.mark.parametrize('mode', ['iou', 'iof'])
@pytest.mark.parametrize('offset', [0, 1])
def test_bbox_overlaps(mode, offset):
    corner = normal(9, 2).abs() * 10
    boxes = torch.cat([corner, corner + 1 + normal(9, 2, seed=1).abs() * 10], 1)
    matrix = ops.bbox_overlaps(boxes[:4], boxes[4:], mode, False, offset)
    for i, j in np.ndindex(4, 5):
        a, b = boxes[i], boxes[4 + j]
        sides = [max(0.0, (min(a[k + 2], b[k + 2]) - max(a[k], b[k]) + offset).item()) for k in (0, 1)]
        area_a, area_b = ((v[2:] - v[:2] + offset).prod().item() for v in (a, b))
        common = sides[0] * sides[1]
        expected = common / (area_a + area_b - common if mode == 'iou' else area_a)
        assert matrix[i, j].item() == pytest.approx(expected)
    torch.testing.assert_close(ops.bbox_overlaps(boxes[:4], boxes[4:8], mode, True, offset), matrix.diagonal())


def rotated(*rows) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def test_overlaps_of_rotated_boxes():
    boxes = rotated([5, 5, 2, 2, 0], [5, 5, 2, 2, math.pi / 4], [6, 5, 2, 2, 0], [5, 5, 2, 4, 0.7], [50, 5, 2, 2, 0.7])
    ious = ops.box_iou_rotated(boxes, boxes)
    torch.testing.assert_close(ious, ious.T)
    torch.testing.assert_close(ious.diagonal(), torch.ones(5))
    assert ious[0, 1].item() == pytest.approx(math.sqrt(0.5), abs=1e-6)  # an octagon
    assert ious[0, 2].item() == pytest.approx(1 / 3)
    assert not ious[4, :4].any()
    turned = boxes + rotated([0, 0, 0, 0, math.pi])
    torch.testing.assert_close(ops.box_iou_rotated(turned, boxes), ious)
    share = ops.box_iou_rotated(rotated([5, 5, 2, 4, 0]), rotated([5, 5, 2, 2, 0]), mode='iof')
    assert share.item() == pytest.approx(0.5)
    pairs = ops.box_iou_rotated(boxes[:3], boxes[1:4], aligned=True)
    torch.testing.assert_close(pairs, ious.diagonal(1)[:3])
    # mirrored: angles of the other sense
    other = ops.box_iou_rotated(rotated([0, 0, 4, 1, 0.3]), rotated([1, 1, 4, 1, 0.3]), clockwise=False)
    same = ops.box_iou_rotated(rotated([0, 0, 4, 1, 0.3]), rotated([1, -1, 4, 1, 0.3]), clockwise=True)
    torch.testing.assert_close(other, same)


def test_overlaps_of_quadrilaterals():
    square, diamond = [0, 0, 2, 0, 2, 2, 0, 2], [1, 0, 2, 1, 1, 2, 0, 1]
    ious = ops.box_iou_quadri(rotated(square), rotated(diamond, square, [9, 9, 10, 9, 10, 10, 9, 10]))
    torch.testing.assert_close(ious, torch.tensor([[0.5, 1.0, 0.0]]))


@pytest.mark.parametrize('labelled', [False, True])
def test_suppression_of_rotated_boxes(labelled):
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(150, 5, generator=generator) * torch.tensor([40, 40, 15, 15, 3]) + 1
    scores, labels = torch.rand(150, generator=generator), torch.randint(0, 2, (150,), generator=generator)
    ious = ops.box_iou_rotated(boxes, boxes)
    expected = []
    for i in scores.argsort(descending=True).tolist():
        if all(ious[j, i] < 0.3 for j in expected):  # mmcv's operators take labels and ignore them
            expected.append(i)
    dets, kept = ops.nms_rotated(boxes, scores, 0.3, labels if labelled else None)
    assert kept.tolist() == expected
    torch.testing.assert_close(dets, torch.cat([boxes, scores[:, None]], 1)[kept])
    from mmlight.compat.ops_fallback.rotated import corners_of_rotated

    quads = corners_of_rotated(boxes).flatten(1).float()
    assert ops.nms_quadri(quads, scores, 0.3, labels if labelled else None)[1].tolist() == expected


@pytest.mark.parametrize('ratio', [0, 2])
def test_pooling_of_rotated_regions(ratio):
    features = normal(2, 3, 9, 9)
    upright = torch.tensor([[0, 8.0, 16.0, 48.0, 56.0], [1, 4, 4, 60, 40]], dtype=torch.float64)
    centre, size = (upright[:, 1:3] + upright[:, 3:]) / 2, upright[:, 3:] - upright[:, 1:3]
    rois = torch.cat([upright[:, :1], centre, size, torch.zeros(2, 1)], 1)
    pool = ops.RoIAlignRotated((3, 4), 1 / 8, ratio, aligned=True)
    torch.testing.assert_close(pool(features, rois), ops.roi_align(features, upright, (3, 4), 1 / 8, ratio))
    turned = rois[:, [0, 1, 2, 4, 3, 5]]  # by 90 degrees, with the sides exchanged
    turned[:, 5] = math.pi / 2
    quarter = ops.RoIAlignRotated((4, 3), 1 / 8, ratio, aligned=True)(features, turned)
    torch.testing.assert_close(quarter, pool(features, rois).transpose(2, 3).flip(3), atol=1e-6, rtol=1e-6)
    assert torch.autograd.gradcheck(lambda f: pool(f, rois), features[:, :1].clone().requires_grad_(), fast_mode=True)
