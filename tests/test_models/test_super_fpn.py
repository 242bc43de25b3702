"""A supernet of pyramids against the pyramids that are cut out of it."""

import random

import pytest
import torch

from mmlight.errors import InputError
from mmlight.models.necks import NASFPN, GraphFPN, SuperFPN
from mmlight.nas.spaces.bifpn import BiFPNSpace, efficientdet
from mmlight.tables import nas_fpn

IN_CHANNELS = (12, 16, 24)
BIFPN = dict(type='BiFPNSpace', num_cells=(1, 2, 3), channels=(8, 12, 16))  # two of them as wide as a map
SPACES = {
    'bifpn': (BIFPN, dict(type='mmlight.GraphFPN', in_channels=IN_CHANNELS)),
    'nas_fpn': (
        dict(type='NASFPNSpace'),
        dict(type='mmlight.NASFPN', in_channels=IN_CHANNELS, out_channels=8, stack_times=2, separable=True),
    ),
}


def supernet(name: str) -> SuperFPN:
    torch.manual_seed(0)
    space, neck = SPACES[name]
    neck = SuperFPN(space, neck)
    neck.init_weights()
    for parameter in neck.parameters():  # no two edges alike
        parameter.data += 0.1 * torch.rand_like(parameter)
    return neck


def maps() -> list[torch.Tensor]:
    return [torch.randn(2, c, size, size) for c, size in zip(IN_CHANNELS, (16, 8, 4), strict=True)]


def relative(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-3))


@pytest.mark.parametrize('count', [3, pytest.param(100, marks=pytest.mark.long)])
@pytest.mark.parametrize('name', SPACES)
def test_equals_what_is_cut_out(name, count):
    """Outputs, gradients of weights and maps, and running statistics of random graphs."""
    neck, rng, inputs = supernet(name).double(), random.Random(0), [x.double() for x in maps()]
    for choices in [*neck.extremes, *(neck.sample_path(rng) for _ in range(count))]:
        neck.set_graph(choices)
        alone, _ = neck.cut()
        assert type(alone) is {'bifpn': GraphFPN, 'nas_fpn': NASFPN}[name]
        ours, theirs = ([x.clone().requires_grad_() for x in inputs] for _ in range(2))
        found, wanted = neck(ours), alone(theirs)
        for x, y in zip(found, wanted, strict=True):
            assert relative(x[:, : y.shape[1]], y) <= 1e-9
            assert x.shape[1] == neck.width
            assert not x[:, y.shape[1] :].any()
        neck.zero_grad()
        torch.manual_seed(1)
        weights = [torch.randn_like(y) for y in wanted]
        sum((x[:, : w.shape[1]] * w).sum() for x, w in zip(found, weights, strict=True)).backward()
        sum((y * w).sum() for y, w in zip(wanted, weights, strict=True)).backward()
        for x, y in zip(ours, theirs, strict=True):
            assert relative(x.grad, y.grad) <= 1e-6
        sizes = [sum(p.grad.abs().sum() for p in m.parameters() if p.grad is not None) for m in (neck, alone)]
        assert float(sizes[0]) == pytest.approx(float(sizes[1]), rel=1e-6)  # none goes astray
        after = neck.tensors()
        for key, value in alone.state_dict().items():  # moved by the same batch
            assert relative(after[key].detach().double(), value.double()) <= 1e-9


def test_a_step_moves_what_graphs_share():
    """Training one graph changes another where they have the same nodes, and nothing of a node that it lacks."""
    neck = supernet('bifpn')
    small, large = neck.extremes
    neck.set_graph(small)
    before = {name: value.clone() for name, value in neck.full.state_dict().items()}
    sum(x.square().sum() for x in neck(maps())).backward()
    torch.optim.SGD(neck.parameters(), 0.01).step()
    changed = {name for name, value in neck.full.state_dict().items() if not torch.equal(value, before[name])}
    assert 'cells.0.nodes.0.block.conv.pw.weight' in changed
    assert not any(name.startswith('cells.1.') for name in changed)  # the smallest has one cell
    weight = neck.full.cells[0].nodes[0].block.conv.pw.weight
    assert not torch.equal(weight[:8, :8], before['cells.0.nodes.0.block.conv.pw.weight'][:8, :8])
    assert torch.equal(weight[8:], before['cells.0.nodes.0.block.conv.pw.weight'][8:])
    neck.set_graph(large)
    assert torch.equal(neck.tensors()['cells.0.nodes.0.block.conv.pw.weight'], weight[:16, :16])


def test_published_pyramids_are_paths():
    neck = supernet('bifpn')
    for cells, channels in ((1, 8), (3, 16)):
        neck.set_graph(neck.space.encode(efficientdet(cells, channels)))
        alone = neck.cut()[0]
        assert alone.out_channels == (channels,) * 5
        published = GraphFPN(IN_CHANNELS, channels, 'bifpn', cells)
        published.load_state_dict(alone.state_dict())
    neck = supernet('nas_fpn')
    neck.set_graph(neck.space.encode(nas_fpn()))
    NASFPN(IN_CHANNELS, 8, 2, separable=True).load_state_dict(neck.cut()[0].state_dict())


def test_bad_graphs():
    neck = supernet('bifpn')
    with pytest.raises(InputError, match=r'decision 8 .fusion. must be one of'):
        neck.set_graph((0,) * 8 + (9, 0, 0))
    with pytest.raises(InputError, match="space: unknown space 'Nothing'"):
        SuperFPN(dict(type='Nothing'), SPACES['bifpn'][1])
    with pytest.raises(InputError, match=r'model.neck must be a mmlight.BiFPN or mmlight.GraphFPN'):
        SuperFPN(BIFPN, SPACES['nas_fpn'][1])
    with pytest.raises(InputError, match=r'channels must be ascending positive integers, got \(16, 8\)'):
        BiFPNSpace(channels=(16, 8))
