"""PSRoIAlign against a naive loop, mmcv's RoIAlign and the tables of arXiv 1903.11752's operator."""

import itertools
import math

import pytest
import torch

from mmlight.ops import PSRoIAlign

VARIANTS = {  # mode, aligned, min_size
    'torchvision': ('avg', True, None),
    'mmcv-legacy': ('avg', False, 1.0),
    'thundernet-release': ('max', False, 0.1),
    'light-head': ('max', False, 0.0),
    'max-aligned': ('max', True, None),
}


def bilinear(plane, y, x):
    """One sample of an (H, W) plane, by the rule of the operator: nothing beyond one pixel outside, else clamped."""
    height, width = len(plane), len(plane[0])
    if y < -1 or y > height or x < -1 or x > width:
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    fy, fx = y - top, x - left
    upper = plane[top][left] * (1 - fx) + plane[top][right] * fx
    lower = plane[bottom][left] * (1 - fx) + plane[bottom][right] * fx
    return upper * (1 - fy) + lower * fy


def naive(features, rois, bins, scale, samples, mode, aligned, min_size):
    """Scalar loops over every output cell and sample."""
    rows, columns = bins
    channels = features.shape[1] // (rows * columns)
    out = torch.zeros(len(rois), channels, rows, columns, dtype=features.dtype)
    offset = 0.5 if aligned else 0.0
    planes = features.tolist()
    for r, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (v * scale - offset for v in (x1, y1, x2, y2))
        width, height = x2 - x1, y2 - y1
        if min_size is not None:
            width, height = max(width, min_size), max(height, min_size)
        for k, p, q in itertools.product(range(channels), range(rows), range(columns)):
            plane = planes[int(image)][(k * rows + p) * columns + q]
            values = [
                bilinear(
                    plane,
                    y1 + height / rows * (p + (s + 0.5) / samples),
                    x1 + width / columns * (q + (t + 0.5) / samples),
                )
                for s in range(samples)
                for t in range(samples)
            ]
            out[r, k, p, q] = max(values) if mode == 'max' else sum(values) / len(values)
    return out


def some_rois(dtype=torch.float64):
    """Ordinary RoIs and hard ones: outside, partly outside, of no size, smaller than a cell, the whole image."""
    generator = torch.Generator().manual_seed(0)
    ordinary = torch.rand(10, 5, generator=generator) * 250
    ordinary[:, 3:] = ordinary[:, 1:3] + torch.rand(10, 2, generator=generator) * 150
    ordinary[:, 0] = torch.randint(0, 2, (10,), generator=generator)
    hard = torch.tensor(
        [
            [1, -500, -500, -400, -400],
            [0, -60, 30, 50, 400],
            [1, 100, 100, 100, 100],
            [0, 33, 47, 38, 50],
            [1, 0, 0, 352, 320],
            [0, 320, 300, 380, 340],
        ]
    )
    return torch.cat([ordinary, hard]).to(dtype)


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize(('bins', 'samples'), [((7, 7), 2), ((3, 2), 1), ((2, 3), 3)])
def test_equals_naive_loop(variant, bins, samples):
    mode, aligned, min_size = VARIANTS[variant]
    features = torch.randn(2, 2 * bins[0] * bins[1], 20, 22, dtype=torch.float64)
    pool = PSRoIAlign(bins, 1 / 16, samples, mode, aligned, min_size)
    expected = naive(features, some_rois(), bins, 1 / 16, samples, mode, aligned, min_size)
    assert (pool(features, some_rois()) - expected).abs().max() <= 1e-12
    single = pool(features.float(), some_rois(torch.float32))
    assert single.dtype == torch.float32
    assert (single - expected.float()).abs().max() <= 1e-5


@pytest.mark.parametrize(
    ('mode', 'aligned', 'min_size'), [('avg', True, None), ('avg', False, 1.0), ('max', True, None)]
)
def test_equals_diagonal_of_roi_align(mode, aligned, min_size):
    from mmcv.ops import roi_align

    rois = some_rois(torch.float32)
    rois = rois[(rois[:, 3] >= rois[:, 1]) & (rois[:, 4] >= rois[:, 2])]
    features = torch.randn(2, 245, 20, 22)
    every = roi_align(features, rois, (7, 7), 1 / 16, 2, mode, aligned).view(-1, 5, 7, 7, 7, 7)
    diagonal = torch.einsum('rkpqpq->rkpq', every)
    assert (PSRoIAlign(7, 1 / 16, 2, mode, aligned, min_size)(features, rois) - diagonal).abs().max() <= 1e-4


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('channels', [245, 490])
def test_channel_order(variant, channels):
    mode, aligned, min_size = VARIANTS[variant]
    features = torch.arange(float(channels)).view(1, channels, 1, 1).expand(1, channels, 20, 20)
    out = PSRoIAlign(7, 1 / 16, 2, mode, aligned, min_size)(features, torch.tensor([[0, 32.0, 48, 256, 272]]))
    assert (out.flatten() - torch.arange(float(channels))).abs().max() <= 1e-4


@pytest.mark.parametrize(
    ('mode', 'aligned', 'first'), [('avg', True, 2.5), ('avg', False, 3.0), ('max', False, 3.5)]
)  # specs, ramp
def test_ramp(mode, aligned, first):
    features = torch.arange(20.0).expand(1, 245, 20, 20)
    out = PSRoIAlign(7, 1 / 16, 2, mode, aligned)(features, torch.tensor([[0, 32.0, 48, 256, 272]]))
    expected = first + 2 * torch.arange(7.0)
    assert (out - expected).abs().max() <= 1e-4


def test_border():
    features = torch.ones(1, 245, 20, 20)
    out = PSRoIAlign(7, 1 / 16)(features, torch.tensor([[0, -32.0, 0, 80, 112], [0, -200, -200, -40, -40]]))
    assert (out[0, :, 0] - torch.tensor([0, 0.5, 1, 1, 1, 1, 1])).abs().max() <= 1e-6
    assert out[1].abs().max() <= 1e-6


@pytest.mark.parametrize('variant', VARIANTS)
def test_gradient(variant):
    mode, aligned, min_size = VARIANTS[variant]
    features = torch.randn(2, 8, 4, 5, dtype=torch.float64, requires_grad=True)
    rois = some_rois() * torch.tensor([1, 0.2, 0.2, 0.2, 0.2], dtype=torch.float64)
    pool = PSRoIAlign(2, 1 / 16, 2, mode, aligned, min_size)
    assert torch.autograd.gradcheck(lambda x: pool(x, rois), features)


def test_gradient_of_the_maximum_goes_to_its_sample():
    """A RoI of one bin whose four samples lie in the middle of four cells: the largest cell gets all of it."""
    features = torch.arange(16.0).view(1, 1, 4, 4).requires_grad_()
    out = PSRoIAlign(1, 1, mode='max')(features, torch.tensor([[0, 1.0, 0, 3, 2]]))
    out.backward()
    assert out.item() == 6
    assert features.grad.nonzero().tolist() == [[0, 0, 1, 2]]
    assert features.grad.sum() == 1


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('size', [(1, 1), (1, 5), (4, 1)])
def test_map_of_one_cell(variant, size):
    mode, aligned, min_size = VARIANTS[variant]
    features = torch.randn(2, 8, *size, dtype=torch.float64)
    rois = some_rois() * torch.tensor([1, 0.1, 0.1, 0.1, 0.1], dtype=torch.float64)
    expected = naive(features, rois, (2, 2), 1 / 16, 2, mode, aligned, min_size)
    assert (PSRoIAlign(2, 1 / 16, 2, mode, aligned, min_size)(features, rois) - expected).abs().max() <= 1e-12


@pytest.mark.parametrize('variant', VARIANTS)
def test_outside_gives_nothing_and_gets_no_gradient(variant):
    mode, aligned, min_size = VARIANTS[variant]
    features = torch.randn(1, 49, 20, 20, requires_grad=True)
    rois = torch.tensor([[0, -90.0, -90, -40, -40], [0, 360, 0, 400, 90]])
    out = PSRoIAlign(7, 1 / 16, 2, mode, aligned, min_size)(features, rois)
    out.sum().backward()
    assert not out.any()
    assert not features.grad.any()


def test_many_rois_go_through_in_groups():
    """More samples than are computed at once: the same as one RoI after the other, forward and backward."""
    features = torch.randn(1, 98, 20, 22, dtype=torch.float64, requires_grad=True)
    rois = torch.rand(150, 5, dtype=torch.float64) * 250
    rois[:, 0], rois[:, 3:] = 0, rois[:, 1:3] + 60
    pool = PSRoIAlign(7, 1 / 16, mode='max')
    together = pool(features, rois)
    single = torch.cat([pool(features, roi[None]) for roi in rois])
    assert torch.equal(together, single)
    gradients = [torch.autograd.grad(out.square().sum(), features)[0] for out in (together, single)]
    assert (gradients[0] - gradients[1]).abs().max() <= 1e-12


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('images', [1, 2])
def test_no_rois(mode, images):
    features = torch.randn(images, 245, 20, 20, requires_grad=True)
    out = PSRoIAlign(7, 1 / 16, mode=mode)(features, torch.zeros(0, 5))
    assert out.shape == (0, 5, 7, 7)
    out.sum().backward()
    assert features.grad.abs().max() == 0


@pytest.mark.parametrize('variant', VARIANTS)
def test_roi_of_no_size_is_finite(variant):
    mode, aligned, min_size = VARIANTS[variant]
    features = torch.randn(1, 245, 20, 20, requires_grad=True)
    out = PSRoIAlign(7, 1 / 16, 2, mode, aligned, min_size)(features, torch.tensor([[0, 64.0, 64, 64, 64]]))
    out.sum().backward()
    assert out.isfinite().all()
    assert features.grad.isfinite().all()


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_float32_under_autocast(mode):
    features = torch.randn(2, 245, 20, 22)
    pool = PSRoIAlign(7, 1 / 16, mode=mode)
    rois = some_rois(torch.float32)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = pool(features, rois)
        half = pool(features.bfloat16(), rois)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, pool(features, rois))
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, pool(features.bfloat16().float(), rois).bfloat16())


def test_no_gradient_to_rois():
    rois = some_rois(torch.float32).requires_grad_()
    out = PSRoIAlign(7, 1 / 16)(torch.randn(2, 245, 20, 22, requires_grad=True), rois)
    out.sum().backward()
    assert rois.grad is None


@pytest.mark.parametrize(
    ('arguments', 'name'),
    [
        (dict(output_size=0), 'output_size'),
        (dict(output_size=(7, 7, 7)), 'output_size'),
        (dict(spatial_scale=0), 'spatial_scale'),
        (dict(sampling_ratio=0), 'sampling_ratio'),
        (dict(mode='mean'), 'mode'),
        (dict(min_size=-1), 'min_size'),
        (dict(min_size='0.1'), 'min_size'),
        (dict(output_size=True), 'output_size'),
        (dict(output_size=None), 'output_size'),
        (dict(sampling_ratio=2.0), 'sampling_ratio'),
    ],
)
def test_bad_argument_is_named(arguments, name):
    with pytest.raises(ValueError, match=name):
        PSRoIAlign(**{'output_size': 7, 'spatial_scale': 1 / 16, **arguments})


def test_bad_input_is_named():
    pool = PSRoIAlign(7, 1 / 16)
    with pytest.raises(ValueError, match='features'):
        pool(torch.zeros(1, 246, 20, 20), torch.zeros(1, 5))
    with pytest.raises(ValueError, match='rois'):
        pool(torch.zeros(1, 245, 20, 20), torch.zeros(1, 4))
    with pytest.raises(ValueError, match='on meta'):
        pool(torch.zeros(1, 245, 20, 20), torch.zeros(1, 5, device='meta'))
    with pytest.raises(ValueError, match=r'images 0\.\.1'):
        pool(torch.zeros(2, 245, 20, 20), torch.tensor([[2.0, 0, 0, 1, 1]]))
