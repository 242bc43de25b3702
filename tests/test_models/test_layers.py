"""Resampling, merges and the executor of feature graphs against docs/specs/efficientdet.md, "Arithmetic"."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from mmlight.errors import InputError
from mmlight.layers import Conv2dSame, GraphExecutor, Resize, build_merge, max_pool_same, resize
from mmlight.registry import MERGES, MODELS
from mmlight.tables import FeatureGraph, Node, bifpn, fully_connected, nas_fpn, pafpn

CONSTANTS = [1.0, 10.0, 100.0, 1000.0, 10000.0]


def executor(graph, overlap=1):
    def merge(target):
        node = graph.nodes[target - len(graph.inputs)]
        return build_merge(node.merge, [graph.levels[i] for i in node.inputs], 1)

    return GraphExecutor(graph, lambda *edge: Resize(overlap), merge, lambda target: nn.Identity())


def pyramid(values, size=32):
    return [torch.full((1, 1, size >> i, size >> i), value) for i, value in enumerate(values)]


def every_node(graph, inputs, overlap=1):
    """The value of every node, constant maps given."""
    network = executor(graph, overlap)
    values = []
    for node in network.nodes:
        node.register_forward_hook(lambda module, args, output: values.append(output))
    network(inputs)
    assert all(value.min() == value.max() for value in values)
    return [value.mean().item() for value in values]


@pytest.mark.parametrize(
    ('side', 'sign', 'expected'),
    [
        (4, 1, [10, 11, 14, 15]),
        (4, -1, [0, -2, -8, -10]),
        (5, 1, [6, 8, 9, 16, 18, 19, 21, 23, 24]),
        (5, -1, [0, -1, -3, -5, -6, -8, -15, -16, -18]),
    ],
)
def test_same_pooling(side, sign, expected):
    x = sign * torch.arange(float(side * side)).view(1, 1, side, side)
    assert max_pool_same(x, (3, 3), (2, 2)).flatten().tolist() == expected


@pytest.mark.parametrize(('source', 'target', 'expected'), [(3, 5, [0, 0, 1, 1, 2]), (4, 7, [0, 0, 1, 1, 2, 2, 3])])
def test_nearest(source, target, expected):
    x = torch.arange(float(source)).expand(1, 1, 2, source)
    assert resize(x, (2, target), overlap=1)[0, 0, 0].tolist() == expected


@pytest.mark.parametrize('overlap', [0, 1])
@pytest.mark.parametrize(
    ('size', 'wanted'),
    [
        ((8, 8), (4, 4)),
        ((25, 42), (13, 21)),
        ((1, 2), (1, 1)),
        ((5, 3), (2, 1)),
        ((8, 8), (2, 2)),
        ((3, 3), (12, 11)),
        ((7, 7), (7, 7)),
    ],
)
def test_resize_gives_the_size_wanted(size, wanted, overlap):
    x = torch.randn(2, 3, *size)
    assert resize(x, wanted, overlap).shape == (2, 3, *wanted)


def test_pooling_windows():
    """Kernel = stride without overlap (NAS-FPN), stride + 1 with it (EfficientDet)."""
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 2, 2] = 1
    assert resize(x, (4, 4), 0).sum() == 1
    assert resize(x, (4, 4), 1).sum() == 4, 'a corner that four windows share'


@pytest.mark.parametrize('side', [7, 8])
@pytest.mark.parametrize(('kernel', 'stride'), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
def test_conv_same_equals_mmcv(kernel, stride, side):
    from mmcv.cnn.bricks import Conv2dAdaptivePadding

    theirs = Conv2dAdaptivePadding(2, 4, kernel, stride)
    ours = MODELS.build(
        dict(type='mmlight.Conv2dSame', in_channels=2, out_channels=4, kernel_size=kernel, stride=stride)
    )
    assert isinstance(ours, Conv2dSame)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(1, 2, side, side + 1)
    torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ('fusion', 'expected'),
    [
        ('sum', [11000, 11100, 11110, 11111, 22231, 33431, 45431, 55431]),
        ('fast', [5499.725, 2799.723, 1404.791, 702.860, 705.860, 1201.821, 2567.096, 6283.234]),
        ('channel_fast', [5499.725, 2799.723, 1404.791, 702.860, 705.860, 1201.821, 2567.096, 6283.234]),
        ('softmax', [5500, 2800, 1405, 703, 706, 1202, 2567.333, 6283.667]),
        ('channel_softmax', [5500, 2800, 1405, 703, 706, 1202, 2567.333, 6283.667]),
        ('unbounded', [11000, 11100, 11110, 11111, 22231, 33431, 45431, 55431]),
    ],
)
def test_bifpn_of_constants(fusion, expected):
    assert every_node(bifpn(merge=fusion), pyramid(CONSTANTS)) == pytest.approx(expected, abs=1e-2)


def test_nas_fpn_of_constants():
    graph = nas_fpn()
    graph = replace(graph, nodes=tuple(replace(node, merge='sum') for node in graph.nodes))
    cells = [1010, 1020, 1021, 2041, 3162, 14182, 17344]
    assert every_node(graph, pyramid(CONSTANTS), overlap=0) == cells
    outputs = executor(graph, 0)(pyramid(CONSTANTS))
    assert [x.mean().item() for x in outputs] == [1021, 2041, 3162, 17344, 14182]


def test_nas_fpn_attention():
    expected = [0.519738, 0.719738, 0.819738, 1.539475, 2.514437, 3.680301, 6.132895]
    found = every_node(nas_fpn(), pyramid([0.1, 0.2, 0.3, 0.4, 0.5]), overlap=0)
    assert found == pytest.approx(expected, abs=1e-5)


def test_fast_weights():
    for count, weight in ((2, 0.499975), (3, 0.333322)):
        merge = build_merge('fast', [3] * count, 1)
        ones = [torch.ones(1, 1, 1, 1)] + [torch.zeros(1, 1, 1, 1)] * (count - 1)
        assert merge(ones).item() == pytest.approx(weight, abs=1e-6)
    merge = build_merge('fast', [3, 4], 1)
    merge.edge_weights.data = torch.tensor([1.0, -3.0])
    assert merge([torch.ones(1), torch.full((1,), 100.0)]).item() == pytest.approx(1 / 1.0001), 'negative counts as 0'


def test_weights_per_channel():
    merge = build_merge('channel_softmax', [3, 4], 2)
    merge.edge_weights.data[:, :, 0, 0] = torch.tensor([[9.0, -9.0], [-9.0, 9.0]])
    result = merge([torch.ones(1, 2, 1, 1), torch.full((1, 2, 1, 1), 5.0)])
    assert result.flatten().tolist() == pytest.approx([1, 5], abs=1e-6)


@pytest.mark.parametrize('levels', [(6, 4), (4, 6)])
def test_attention_goes_by_the_levels(levels):
    """The coarser input passes and gates the finer one, whichever comes first; of equal levels it is the first."""
    features = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    coarse, fine = features if levels[0] > levels[1] else features[::-1]
    expected = coarse + fine * coarse.amax((2, 3), keepdim=True).sigmoid()
    torch.testing.assert_close(build_merge('attention', levels, 3)(features), expected)
    first = features[0] + features[1] * features[0].amax((2, 3), keepdim=True).sigmoid()
    torch.testing.assert_close(build_merge('attention', (5, 5), 3)(features), first)


def test_attention_of_mmdet():
    merge = build_merge('attention_mmdet', [6, 4], 1)
    coarse, fine = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    expected = fine + coarse * fine.mean((2, 3), keepdim=True).sigmoid()
    torch.testing.assert_close(merge([coarse, fine]), expected)
    with pytest.raises(InputError, match=r'takes at most 2 input\(s\), got \[6, 4, 4\]'):
        build_merge('attention_mmdet', [6, 4, 4], 1)


def test_unknown_merge():
    with pytest.raises(InputError, match="unknown merge 'mean', known are sum, fast"):
        build_merge('mean', [3, 4], 1)


@pytest.mark.parametrize('kind', [kind for kind in MERGES.module_dict if kind != 'attention_mmdet'])
def test_gradients(kind):
    levels = [3, 4] if kind == 'attention' else [3, 4, 4]
    merge = build_merge(kind, levels, 2).double()
    inputs = [torch.randn(1, 2, 3, 3, dtype=torch.float64, requires_grad=True) for _ in levels]
    assert torch.autograd.gradcheck(lambda *x: merge(x), inputs)


def test_levels_without_an_input():
    """A graph whose inputs are all of one level: the others are half as large each, rounded up."""
    graph = FeatureGraph((2, 2), (Node(3, (0, 1)), Node(5, (0, 2)), Node(4, (2, 3))), (2, 4, 3))
    sizes = [tuple(x.shape[-2:]) for x in executor(graph)([torch.randn(1, 1, 13, 22)] * 2)]
    assert sizes == [(7, 11), (4, 6), (2, 3)]


def test_wrong_number_of_features():
    with pytest.raises(InputError, match='needs 5 features, got 3'):
        executor(bifpn())(pyramid(CONSTANTS[:3]))


@pytest.mark.parametrize('build', [bifpn, pafpn, fully_connected, nas_fpn])
def test_compiles_without_graph_breaks(build):
    network = executor(build())
    inputs = pyramid(CONSTANTS)
    compiled = torch.compile(network, backend='eager', fullgraph=True)
    for ours, theirs in zip(compiled(inputs), network(inputs), strict=True):
        assert torch.equal(ours, theirs)
