"""PSRoIPool against a naive loop in exact fractions and the rules of R-FCN's operator."""

import io
import itertools
import math
from fractions import Fraction

import pytest
import torch

from mmlight.errors import InputError
from mmlight.ops import PSRoIAlign, PSRoIPool

OPERATORS = [PSRoIPool(3, 1 / 16), PSRoIAlign(3, 1 / 16, mode='max'), PSRoIAlign(3, 1 / 16)]


def cells(low, high, bins, number, length, scale, legacy):
    """Cells of a bin by the published formulas, without rounding."""

    def nearest(x):
        return int(math.copysign(math.floor(abs(x) + 0.5), x))

    start = nearest(low) * scale
    size = max((nearest(high) + legacy) * scale - start, Fraction(0.1))
    first = math.floor(number * size / bins + start)
    last = math.ceil((number + 1) * size / bins + start)
    return range(max(first, 0), min(last, length))


def naive(features, rois, bins, scale, legacy):
    """Scalar loops over every output cell; also the gradient of the sum of all outputs times their number."""
    rows, columns = bins
    _, channels, height, width = features.shape
    out = torch.zeros(len(rois), channels // (rows * columns), rows, columns, dtype=torch.float64)
    grad = torch.zeros_like(features, dtype=torch.float64)
    for number, (r, k, p, q) in enumerate(itertools.product(*map(range, out.shape))):
        image, x1, y1, x2, y2 = rois[r].tolist()
        ys = cells(y1, y2, rows, p, height, scale, legacy)
        xs = cells(x1, x2, columns, q, width, scale, legacy)
        if len(ys) and len(xs):
            where = int(image), (k * rows + p) * columns + q, slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1)
            out[r, k, p, q] = features[where].double().mean()
            grad[where] += number / (len(ys) * len(xs))
    return out, grad


def some_rois():
    """Random RoIs and hard ones: outside, partly outside, of no size, below a cell, the whole image, inside out."""
    generator = torch.Generator().manual_seed(0)
    ordinary = torch.rand(10, 5, generator=generator) * 250
    ordinary[:, 3:] = ordinary[:, 1:3] + torch.rand(10, 2, generator=generator) * 150
    ordinary[:, 0] = torch.randint(0, 2, (10,), generator=generator)
    hard = torch.tensor(
        [
            [1, -500, -500, -400, -400],
            [0, 900, 30, 950, 60],
            [0, -60, 30, 50, 400],
            [1, 100, 100, 100, 100],
            [0, 33, 47, 38, 50],
            [1, 0, 0, 352, 320],
            [1, 0, 0, 351, 319],
            [0, 16, 32, 127, 143],  # 7 cells with the last pixel: every bin ends on a cell's border
            [0, 0.5, 1.5, 110.5, -2.5],
            [1, 200, 200, 100, 90],
        ]
    )
    return torch.cat([ordinary, hard])


@pytest.mark.parametrize('legacy', [True, False])
@pytest.mark.parametrize(('bins', 'stride'), [((7, 7), 16), ((3, 2), 32), ((1, 4), 8)])
def test_equals_naive_loop(legacy, bins, stride):
    features = torch.randn(2, 2 * bins[0] * bins[1], 20, 22, requires_grad=True)
    out = PSRoIPool(bins, 1 / stride, legacy)(features, some_rois())
    expected, gradient = naive(features.detach(), some_rois(), bins, Fraction(1, stride), legacy)
    assert out.dtype == torch.float32
    assert (out - expected).abs().max() <= 1e-5
    scale = out.numel()
    (out * torch.arange(scale).view(out.shape)).sum().div(scale).backward()
    assert (features.grad - gradient / scale).abs().max() <= 1e-5


def test_seven_cells_make_seven_bins():
    """R-FCN's rule of the last pixel: a box of 112 pixels is 16 to 127, and bins that end on borders do not overlap."""
    features = torch.randn(1, 49, 20, 20)
    out = PSRoIPool(7, 1 / 16)(features, torch.tensor([[0, 16.0, 32, 127, 143]]))
    diagonal = features[0].view(7, 7, 20, 20)[:, :, 2:9, 1:8].diagonal(0, 0, 2).diagonal(0, 0, 1)
    assert torch.equal(out[0, 0], diagonal)


def test_channel_order():
    features = torch.arange(490.0).view(1, 490, 1, 1).expand(1, 490, 20, 20)
    out = PSRoIPool(7, 1 / 16)(features, torch.tensor([[0, 32.0, 48, 256, 272]]))
    assert torch.equal(out.flatten(), torch.arange(490.0))


@pytest.mark.parametrize('legacy', [True, False])
def test_gradient(legacy):
    features = torch.randn(2, 4, 4, 5, dtype=torch.float64, requires_grad=True)
    rois = some_rois() * torch.tensor([1, 0.2, 0.2, 0.2, 0.2])
    pool = PSRoIPool(2, 1 / 16, legacy)
    assert torch.autograd.gradcheck(lambda x: pool(x, rois), features)


def test_outside_gives_nothing_and_gets_no_gradient():
    features = torch.randn(1, 49, 20, 20, requires_grad=True)
    out = PSRoIPool(7, 1 / 16)(features, torch.tensor([[0, -90.0, -90, -40, -40], [0, 340, 0, 400, 90]]))
    out.sum().backward()
    assert not out.any()
    assert not features.grad.any()


@pytest.mark.parametrize('images', [1, 2])
def test_no_rois(images):
    features = torch.randn(images, 245, 20, 20, requires_grad=True)
    out = PSRoIPool(7, 1 / 16)(features, torch.zeros(0, 5))
    assert out.shape == (0, 5, 7, 7)
    out.sum().backward()
    assert features.grad.abs().max() == 0


def test_single_precision_on_a_large_map():
    """Cumulative sums of float32 would be wrong in the third digit here."""
    features = torch.rand(1, 49, 100, 150) + 1000
    rois = torch.tensor([[0, 2300.0, 1500, 2380, 1590]])
    out = PSRoIPool(7, 1 / 16)(features, rois)
    assert (out - naive(features, rois, (7, 7), Fraction(1, 16), True)[0]).abs().max() <= 1e-4


def test_float32_under_autocast():
    features, pool = torch.randn(2, 245, 20, 22), PSRoIPool(7, 1 / 16)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = pool(features, some_rois())
        half = pool(features.bfloat16(), some_rois())
    assert torch.equal(mixed, pool(features, some_rois()))
    assert torch.equal(half, pool(features.bfloat16().float(), some_rois()).bfloat16())


def test_wrong_input_is_named():
    pool = PSRoIPool(7, 1 / 16)
    with pytest.raises(ValueError, match=r'PSRoIPool: features must be \(N, K \* 7 \* 7'):
        pool(torch.zeros(1, 488, 20, 20), torch.zeros(1, 5))
    with pytest.raises(ValueError, match='rois must be'):
        pool(torch.zeros(1, 490, 20, 20), torch.zeros(1, 4))
    with pytest.raises(ValueError, match='on meta'):
        pool(torch.zeros(1, 490, 20, 20), torch.zeros(1, 5, device='meta'))
    with pytest.raises(ValueError, match=r'images 0\.\.1'):
        pool(torch.zeros(2, 490, 20, 20), torch.tensor([[2.0, 0, 0, 1, 1]]))
    with pytest.raises(ValueError, match='output_size'):
        PSRoIPool(0, 1 / 16)
    for scale in (0, float('nan'), None, '1/16'):
        with pytest.raises(InputError, match='PSRoIPool: spatial_scale must be a positive number'):
            PSRoIPool(7, scale)


@pytest.mark.parametrize('pool', OPERATORS, ids=str)
def test_an_image_that_is_not_there_is_named(pool):
    for images, index in ((1, 1), (1, -1), (2, 2)):
        with pytest.raises(InputError, match=rf'rois must name images 0\.\.{images - 1} in their first column'):
            pool(torch.zeros(images, 18, 20, 20), torch.tensor([[index, 0, 0, 16.0, 16]]))


@pytest.mark.parametrize('pool', OPERATORS, ids=str)
@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf'), 1e30])
def test_a_roi_that_is_not_finite_does_no_harm_to_the_others(pool, bad):
    """A training that diverges: the loss tells, not an index out of range (on a GPU, a lost process)."""
    features = torch.randn(1, 18, 9, 11, requires_grad=True)
    good = torch.tensor([[0, 16.0, 16, 100, 90]])
    out = pool(features, torch.cat([good, torch.tensor([[0, bad, bad, bad, bad], [0, 5, 5, bad, 40]]), good]))
    assert torch.allclose(out[[0, 3]], pool(features, good).expand(2, -1, -1, -1))
    out[[0, 3]].sum().backward()
    out = pool(features, torch.tensor([[0, bad, 5, bad, 40]]))
    out.sum().backward()


@pytest.mark.parametrize('pool', OPERATORS, ids=str)
def test_any_layout_in_memory(pool):
    features, rois = torch.randn(2, 18, 20, 22), some_rois()
    assert torch.allclose(pool(features.contiguous(memory_format=torch.channels_last), rois), pool(features, rois))


@pytest.mark.parametrize('pool', OPERATORS, ids=str)
def test_onnx_with_another_number_of_rois(pool, need):
    need('onnx')
    need('onnxruntime')
    import onnxruntime

    features, rois = torch.randn(1, 18, 20, 22), some_rois()
    rois[:, 0] = 0
    file = io.BytesIO()
    torch.onnx.export(
        pool,
        (features, rois[:3]),
        file,
        input_names=['features', 'rois'],
        dynamic_axes={'rois': [0]},
        opset_version=17,
        dynamo=False,
    )
    (out,) = onnxruntime.InferenceSession(file.getvalue()).run(
        None, {'features': features.numpy(), 'rois': rois.numpy()}
    )
    assert (torch.from_numpy(out) - pool(features, rois)).abs().max() <= 1e-5
