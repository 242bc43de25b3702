"""DFANet against arXiv 1904.02216 and the counts that follow from its tables (configs/dfanet/README.md)."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn import fuse_conv_bn
from mmengine.analysis import get_model_complexity_info
from mmengine.model import BaseModule
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlight.errors import InputError
from mmlight.layers import XceptionBlock
from mmlight.measure.complexity import measure
from mmlight.models.backbones import DFANet, DFAXception
from mmlight.models.backbones.dfanet import FCAttention
from mmlight.models.heads.dfa_head import DFAHead
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build

CITYSCAPES = '4xb12-80k_cityscapes-1024x1024'
SIZES = (1024, 1024), (512, 1024), (720, 960), (1024, 2048)


def network(name, **options):
    return build(load_config(f'dfanet_{name}_{CITYSCAPES}', options))


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def counted(net, size):
    return measure(net.to('meta'), size)


def randomized(net):
    """Batch norms that do something, as after training."""
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5, generator=generator)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.2, generator=generator)
    return net.eval()


@pytest.mark.parametrize(
    ('arch', 'count', 'macs', 'paper', 'tolerance', 'printed'),
    [
        (
            'a',
            1_823_867,
            (3_421_254_656, 1_711_203_328, 2_260_634_400, 6_841_357_312),
            (3.4, 1.7),
            0.02,
            ('1.82 M', '3.42 G'),
        ),
        (
            'b',
            1_097_819,
            (2_055_305_216, 1_028_036_608, 1_357_437_120, 4_109_842_432),
            (2.1, None),
            0.03,
            ('1.10 M', '2.06 G'),
        ),
    ],
)
def test_parameters_and_multiply_adds(arch, count, macs, paper, tolerance, printed):
    net = network(arch).to('meta')
    found = [measure(net, size) for size in SIZES]
    assert {one.parameters for one in found} == {count}
    assert tuple(one.macs for one in found) == macs
    assert all(text in found[0].table() for text in printed)  # by get_flops.py
    for one, published in zip(found, paper, strict=False):  # DFANet A, A', B of Table 5
        assert published is None or one.macs / 1e9 == pytest.approx(published, rel=tolerance)


@pytest.mark.parametrize(
    ('arch', 'first', 'further', 'attention', 'decoder'),
    [
        ('a', (7_992, 43_824, 108_960), (24_000, 56_208, 156_768), 385_192, (4_800, 9_280, 18_624, 627)),
        ('b', (4_328, 21_536, 51_136), (11_776, 27_232, 72_768), 257_128, (3_264, 9_280, 12_480, 627)),
    ],
)
def test_parameters_of_parts(arch, first, further, attention, decoder):
    net = network(arch)
    assert parameters(net.backbone.conv1) == 232
    for branch, stages in zip(net.backbone.branches, (first, further, further), strict=True):
        assert tuple(map(parameters, branch.layers)) == stages
        assert parameters(branch.attention) == attention
    head = net.decode_head
    assert tuple(map(parameters, (head.low, head.fuse, head.high, head.conv_seg))) == decoder


@pytest.mark.long
@pytest.mark.parametrize(('arch', 'flops'), [('a', 3.655e9), ('b', 2.230e9)])
def test_mmengine_counts_norms_and_resizing_too(arch, flops):
    """At a quarter of the area, which all stages divide."""
    info = get_model_complexity_info(network(arch).eval(), (3, 512, 512), show_table=False, show_arch=False)
    assert info['flops'] * 4 == pytest.approx(flops, rel=5e-3)


@pytest.mark.parametrize(
    ('name', 'macs', 'count', 'paper'),
    [
        ('a-x1', 1.674, 0.550, 1.6), ('a-x2', 2.425, 1.172, 2.4), ('a-x3', 2.613, 1.795, 2.6),
        ('a-x3-hl', 2.685, 1.810, 2.7), ('a-x2-hl-ll', 3.222, 1.194, 3.2), ('b-x1', 0.855, 0.337, 0.83),
        ('b-x2', 1.212, 0.706, 1.2),
    ],
)  # fmt: skip
def test_ablations(name, macs, count, paper):
    """Tables 2 to 4; the paper's FLOPs of three and four backbones B are 8 to 12 % higher than these."""
    found = counted(network(name), (1024, 1024))
    assert found.macs / 1e9 == pytest.approx(macs, rel=1e-3)
    assert found.parameters / 1e6 == pytest.approx(count, rel=1e-3)
    assert found.macs / 1e9 == pytest.approx(paper, rel=0.05)


@pytest.mark.parametrize(
    ('arch', 'count', 'macs'), [('A', 354_008, 79.54e6), ('B', 206_232, 40.56e6)]
)  # fmt: skip
def test_xception_classifier(arch, count, macs):
    found = counted(DFAXception(arch, num_classes=1000), (224, 224))
    assert (found.parameters, found.macs) == (count, pytest.approx(macs, rel=1e-4))


def test_published_sizes_are_mebibytes():
    """Table 3: 2.1 for backbone A."""
    assert 4 * parameters(network('a-x1')) / 2**20 == pytest.approx(2.1, rel=0.01)


def test_shapes_at_1024():
    net = network('a').to('meta').eval()
    maps = net.backbone(torch.zeros(1, 3, 1024, 1024, device='meta'))
    sides = (256, 128, 64, 64, 32, 16)
    assert [tuple(x.shape[1:]) for x in maps] == [
        (c, side, side) for c, side in zip((48,) * 3 + (192,) * 3, sides, strict=True)
    ]
    assert net.backbone.out_channels == (48,) * 3 + (192,) * 3
    assert net.backbone.out_strides == (4, 8, 16, 16, 32, 64)
    assert net.decode_head(maps).shape == (1, 19, 256, 256)


@pytest.mark.parametrize(
    ('size', 'logits'),
    [
        ((713, 1001), (179, 251)),
        ((65, 129), (17, 33)),
        ((64, 64), (16, 16)),
        ((720, 960), (180, 240)),
        ((1, 1), (1, 1)),
    ],
)
def test_any_size(size, logits):
    net = network('a').to('meta').eval()
    assert net(torch.zeros(1, 3, *size, device='meta'), mode='tensor').shape == (1, 19, *logits)


def test_forms_without_low_level_maps_give_logits_at_stride_4():
    net = network('a-x3-hl').to('meta').eval()
    assert net(torch.zeros(1, 3, 128, 192, device='meta'), mode='tensor').shape == (1, 19, 32, 48)


def test_backbone_is_the_paper_s_figure():
    """Fig. 3, written out: a, b, d are the three backbones, 2 to 4 their stages, f the attention's output."""
    net = randomized(DFANet('B'))
    image = torch.randn(1, 3, 95, 130)
    one, two, three = net.branches

    def cat(fine, coarse):
        return torch.cat([fine, F.interpolate(coarse, fine.shape[2:], mode='bilinear', align_corners=False)], 1)

    with torch.no_grad():
        found = net(image)
        a2 = one.layers[0](net.conv1(image))
        a3 = one.layers[1](a2)
        a4 = one.layers[2](a3)
        fa = one.attention(a4)
        b2 = two.layers[0](cat(a2, fa))
        b3 = two.layers[1](torch.cat([b2, a3], 1))
        b4 = two.layers[2](torch.cat([b3, a4], 1))
        fb = two.attention(b4)
        d2 = three.layers[0](cat(b2, fb))
        d4 = three.layers[2](torch.cat([three.layers[1](torch.cat([d2, b3], 1)), b4], 1))
        expected = (a2, b2, d2, fa, fb, three.attention(d4))
    assert all(x.std() > 1e-3 for x in expected)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


def test_decoder_is_the_paper_s_figure():
    head = randomized(network('b').decode_head)
    maps = [torch.randn(1, c, 32 >> i, 48 >> i) for c, i in ((32, 0), (32, 1), (32, 2), (128, 2), (128, 3), (128, 4))]

    def up(conv, x):
        return F.interpolate(conv(x), (32, 48), mode='bilinear')

    with torch.no_grad():
        low = up(head.low[0], maps[0]) + up(head.low[1], maps[1]) + up(head.low[2], maps[2])
        high = up(head.high[0], maps[3]) + up(head.high[1], maps[4]) + up(head.high[2], maps[5])
        torch.testing.assert_close(head(maps), head.conv_seg(head.fuse(low) + high))


@pytest.mark.parametrize(('stride', 'in_channels'), [(1, 16), (1, 10), (2, 16)])
@pytest.mark.parametrize('separable', [False, True])
def test_block(stride, in_channels, separable):
    """Depthwise, pointwise, norm, ReLU three times; the last ReLU is behind the sum."""
    block = randomized(XceptionBlock(in_channels, 4, stride, separable))
    x = torch.randn(2, in_channels, 7, 8)

    def norm(bn, x):
        scale = bn.weight / (bn.running_var + bn.eps).sqrt()
        return (x - bn.running_mean.view(-1, 1, 1)) * scale.view(-1, 1, 1) + bn.bias.view(-1, 1, 1)

    def sep(module, x, stride):
        depthwise, pointwise = module.depthwise_conv.conv.weight, module.pointwise_conv.conv.weight
        x = F.conv2d(x, depthwise, stride=stride, padding=1, groups=x.shape[1])
        return norm(module.pointwise_conv.bn, F.conv2d(x, pointwise))

    with torch.no_grad():
        y = sep(block.convs[0], x, stride).relu()
        y = sep(block.convs[2], sep(block.convs[1], y, 1).relu(), 1)
        if stride == 1 and in_channels == 16:
            shortcut = x
        elif separable:
            shortcut = sep(block.shortcut, x, stride)
        else:
            shortcut = norm(block.shortcut.bn, F.conv2d(x, block.shortcut.conv.weight, stride=stride))
        torch.testing.assert_close(block(x), (y + shortcut).relu(), rtol=1e-4, atol=1e-5)
    assert block(x).shape == (2, block.out_channels, -(-7 // stride), 8 // stride)


@pytest.mark.parametrize('name', ['bisenet_xception39_custom-masks', 'dfanet_a_camvid-seq05'])
def test_blocks_of_short_schedules_begin_as_their_shortcuts(name):
    net = build(load_config(name))
    net.init_weights()
    blocks = [module for module in net.modules() if isinstance(module, XceptionBlock)]
    assert len(blocks) == {'bisenet': 16, 'dfanet_': 42}[name[:7]]
    for block in blocks:
        x = torch.randn(2, block.convs[0].depthwise_conv.in_channels, 4, 4)
        assert torch.equal(block(x), block.shortcut(x).relu())


def test_attention():
    """out = x * sigmoid(W2 (W1 mean(x) + b1) + b2)"""
    attention, x = FCAttention(16), torch.randn(2, 16, 5, 3)
    nn.init.normal_(attention.conv.conv.bias)
    w1, b1, w2, b2 = (
        attention.fc.weight,
        attention.fc.bias,
        attention.conv.conv.weight[:, :, 0, 0],
        attention.conv.conv.bias,
    )
    gate = torch.sigmoid((x.mean((2, 3)) @ w1.T + b1) @ w2.T + b2)
    torch.testing.assert_close(attention(x), x * gate[:, :, None, None])
    constant = attention(x[:, :, :1, :1].expand(2, 16, 4, 4))
    assert torch.equal(constant.amax((2, 3)), constant.amin((2, 3)))
    nn.init.zeros_(w2), nn.init.zeros_(b2)
    torch.testing.assert_close(attention(x), x / 2)


def test_norms_fold_into_convolutions():
    net, image = randomized(network('b')), torch.randn(1, 3, 96, 128)
    with torch.no_grad():
        expected = net(image, mode='tensor')
        fused = fuse_conv_bn(net)
        found = fused(image, mode='tensor')
    assert not any(isinstance(module, _BatchNorm) for module in fused.modules())
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def sample(size, number=1):
    labels = torch.randint(0, 19, (1, *size), generator=torch.Generator().manual_seed(0))
    return [SegDataSample(gt_sem_seg=PixelData(data=labels), metainfo=dict(img_shape=size)) for _ in range(number)]


def test_every_parameter_learns_from_one_image():
    """Of 65x65, whose map at stride 64 has four pixels."""
    net = network('b').train()
    losses = net(torch.randn(1, 3, 65, 65), sample((65, 65)), mode='loss')
    losses['decode.loss_ce'].backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []


def test_one_pixel_cannot_be_normalised():
    net = DFANet('B').train()
    with pytest.raises(InputError, match='DFANet: one image of 64x64 is one pixel at stride 64'):
        net(torch.randn(1, 3, 64, 64))
    net(torch.randn(2, 3, 64, 64))
    net.eval()(torch.randn(1, 3, 64, 64))


@pytest.mark.parametrize('options', [dict(norm_eval=True), dict(norm_cfg=dict(type='GN', num_groups=2))])
def test_one_pixel_that_is_not_normalised_over_the_batch_trains(options):
    """Held statistics, and norms that look at one image."""
    assert all(x.isfinite().all() for x in DFANet('B', **options).train()(torch.randn(1, 3, 64, 64)))


@pytest.mark.parametrize(('arch', 'count'), [('A', 1_824_443), ('B', 1_098_203)])
def test_attention_with_a_norm(arch, count):
    """As some re-implementations have it; the convolution's bias goes."""
    norm = dict(type='BN')
    net = DFANet(arch, attention_norm=norm, attention_act=dict(type='ReLU'))
    decoder = 4_800 + 9_280 + 18_624 + 627 if arch == 'A' else 3_264 + 9_280 + 12_480 + 627
    assert parameters(net) + decoder == count
    assert isinstance(net.branches[2].attention.conv.activate, nn.ReLU)
    with pytest.raises(InputError, match='an attention with batch norm normalises maps of 1x1: train with two images'):
        net.train()(torch.randn(1, 3, 96, 96))


def test_hard_examples_alone_count():
    net = network('a_ohem').decode_head
    logits, size = torch.zeros(1, 19, 8, 8), (8, 8)
    logits[:, 0, :4] = 20  # the upper half is certain, and right
    net.sampler.min_kept = 16
    samples = sample(size)
    samples[0].gt_sem_seg.data[:] = 0
    weight = net.sampler.sample(logits, samples[0].gt_sem_seg.data[None])
    assert weight[0, :4].max() == 0
    assert weight[0, 4:].unique().tolist() == [2]  # 64 labelled pixels, 32 kept


def classifier(arch='B', prefix='', head='fc.'):
    """(an ImageNet classifier, its weights under the names of the model around it)."""
    torch.manual_seed(7)
    net = randomized(DFAXception(arch, num_classes=1000))
    net.init_weights()
    return net, {(head if name.startswith('fc.') else prefix) + name.removeprefix('fc.'): t
                 for name, t in net.state_dict().items()}  # fmt: skip


@pytest.mark.parametrize('names', [('', 'fc.'), ('backbone.', 'head.fc.'), ('module.backbone.', 'module.head.fc.')])
def test_classifier_weights_spread_over_the_cascade(names):
    source, state = classifier('B', *names)
    net = DFANet('B')
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert net.load_state_dict(state, strict=True) == ([], [])
    weights = source.state_dict()
    kept = set()
    for name, tensor in net.state_dict().items():
        origin = name.split('.', 2)[-1] if name.startswith('branches.') else name
        origin = origin.replace('attention.fc.', 'fc.')
        if origin in weights and weights[origin].shape == tensor.shape:
            assert torch.equal(tensor, weights[origin])
        else:
            assert torch.equal(tensor, before[name])
            kept.add(name)
    first = [f'layers.{i}.0.{part}.conv.weight' for i in range(3)
             for part in ('convs.0.depthwise_conv', 'convs.0.pointwise_conv', 'shortcut')]  # fmt: skip
    gates = {f'branches.{i}.attention.conv.conv.{leaf}' for i in range(3) for leaf in ('weight', 'bias')}
    assert kept == gates | {f'branches.{i}.{name}' for i in (1, 2) for name in first}
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(net.eval()(image)[0], source.layers[0](source.conv1(image)))
        features = source.layers[2](source.layers[1](source.layers[0](source.conv1(image))))
        assert torch.equal(net.branches[0].attention.fc(features.mean((2, 3))), source(image))


class Segmentor(BaseModule):
    def __init__(self, backbone):
        super().__init__()
        self.backbone = backbone


def test_init_cfg_reads_a_classifier_s_file(tmp_path):
    source, state = classifier('B', 'backbone.', 'head.fc.')
    torch.save({'state_dict': state}, tmp_path / 'classifier.pth')
    model = Segmentor(DFANet('B', init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'classifier.pth'))))
    model.init_weights()
    for branch in model.backbone.branches:
        assert torch.equal(branch.attention.fc.weight, source.fc.weight)
        assert torch.equal(branch.layers[1][3].convs[2].pointwise_conv.conv.weight,
                           source.layers[1][3].convs[2].pointwise_conv.conv.weight)  # fmt: skip


def test_own_weights_load_as_they_are():
    source, target = (Segmentor(randomized(DFANet('B', 2))) for _ in range(2))
    state = source.state_dict()
    assert target.load_state_dict(state, strict=True) == ([], [])
    assert all(torch.equal(tensor, state[name]) for name, tensor in target.state_dict().items())


def test_weights_that_do_not_fit_are_reported():
    _, state = classifier('A')
    with pytest.raises(RuntimeError, match=r'size mismatch for branches\.0\.layers\.0\.0'):
        DFANet('B').load_state_dict(state)
    state.pop('layers.1.0.shortcut.conv.weight')
    missing, unexpected = DFANet('A').load_state_dict({**state, 'neck.weight': torch.zeros(1)}, strict=False)
    assert missing == [f'branches.{i}.layers.1.0.shortcut.conv.weight' for i in range(3)]
    assert unexpected == ['neck.weight']


@pytest.mark.parametrize('make', [DFANet, DFAXception])
@pytest.mark.parametrize('frozen', [-1, 0, 1])
def test_frozen_stages(make, frozen):
    net = make('B', frozen_stages=frozen)
    trained = [any(p.requires_grad for p in stage.parameters()) for stage in net.stages()]
    assert trained == [i > frozen for i in range(len(trained))]
    assert all(a <= b for a, b in pairwise(trained))


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: DFANet('C'), "DFANet: arch must be one of ['A', 'B'], got 'C'"),
        (lambda: DFAXception('39'), "DFAXception: arch must be one of ['A', 'B'], got '39'"),
        (lambda: DFAXception(num_classes=0), 'DFAXception: num_classes must be at least 1 or None, got 0'),
        (lambda: DFANet(num_branches=0), 'DFANet: num_branches must be a whole number of at least 1, got 0'),
        (lambda: DFANet(frozen_stages=4), 'DFANet: frozen_stages must be within -1..3, got 4'),
        (lambda: DFAXception(out_indices=(3,)), 'DFAXception: out_indices must be ascending and within 0..2, got (3,)'),
        (lambda: DFAHead([8, 8], [0], num_classes=2), 'DFAHead: in_channels has 2 entries, in_index 1'),
        (lambda: DFAHead([8, 8], [0, 1], 2, num_classes=2), 'DFAHead: num_low must be within 0..1, got 2'),
    ],
)
def test_names_what_cannot_work(make, message):
    with pytest.raises(InputError) as error:
        make()
    assert str(error.value) == message


def test_too_few_maps_are_named():
    net = network('a', **{'model.backbone.num_branches': 2})
    with pytest.raises(InputError, match=r'DFAHead: in_index is \[0, 1, 2, 3, 4, 5\], the backbone gives 4 maps'):
        net.eval()(torch.zeros(1, 3, 64, 64), mode='tensor')


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (
            {'num_branches': 4},
            "DFAHead: in_channels is [48, 48, 48, 192, 192, 192], the maps [0, 1, 2, 3, 4, 5] of the backbone's 8 "
            'have [48, 48, 48, 48, 192, 192]',
        ),
        (
            {'arch': 'B'},
            "DFAHead: in_channels is [48, 48, 48, 192, 192, 192], the maps [0, 1, 2, 3, 4, 5] of the backbone's 6 "
            'have [32, 32, 32, 128, 128, 128]',
        ),
    ],
)
def test_other_maps_are_named(option, message):
    net = network('a', **{f'model.backbone.{key}': value for key, value in option.items()})
    with pytest.raises(InputError) as error:
        net.eval()(torch.zeros(1, 3, 64, 64), mode='tensor')
    assert str(error.value) == message
