"""BiSeNet against the published figures, its equations, and mmseg's BiSeNetV1."""

import pytest
import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlight.errors import InputError
from mmlight.measure.complexity import measure
from mmlight.models.segmentors import BiSeNet
from mmlight.models.segmentors.bisenet import TwoConvFusion
from mmlight.registry import MODELS
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build

X39 = dict(type='mmlight.Xception39', out_indices=(1, 2))
R18 = dict(type='mmseg.ResNet', depth=18, out_indices=(2, 3), norm_cfg=dict(type='BN'))
CONFIG = 'bisenet_{}_4xb4-160k_cityscapes-1024x1024'


def segmentor(name: str, **backbone) -> nn.Module:
    cfg = load_config(CONFIG.format(name))
    cfg.model.backbone.update(backbone)
    return build(cfg)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# (name, parameters, size in the paper in MiB, MACs at 360x640, 768x1536, 1024x2048, and the paper's at 360x640)
COUNTS = [
    ('xception39', 1_541_963, 5.8, (3_065_157_888, 15_616_081_920, 27_761_770_496), 2.9e9),
    ('r18', 12_894_163, 49.0, (11_581_049_856, 58_344_439_808, 103_723_270_144), 10.8e9),
]


@pytest.mark.parametrize(('name', 'count', 'size', 'macs', 'published'), COUNTS)
def test_published_size_and_macs(name, count, size, macs, published):
    """Specification, 6. Paper: Tables 1 and 6, whose sizes are in MiB; MACs within 6 and 7.5 % (the authors' code)."""
    with torch.device('meta'):
        network = segmentor(name)
    found = [measure(network, shape) for shape in ((360, 640), (768, 1536), (1024, 2048))]
    assert found[0].parameters == count
    assert [one.macs for one in found] == list(macs)
    assert count * 4 / 2**20 == pytest.approx(size, rel=0.015)
    assert macs[0] == pytest.approx(published, rel=0.075)


def test_published_size_of_the_plain_network():
    """Paper, Table 1: ResNet-18 as FCN-32s has "42.7 M" parameters, which are MiB."""
    with DefaultScope.overwrite_default_scope('mmseg'), torch.device('meta'):
        count = parameters(MODELS.build(dict(R18, out_indices=(3,)))) + 513 * 19
    assert count * 4 / 2**20 == pytest.approx(42.672, abs=5e-4)


@pytest.mark.parametrize(('name', 'count'), [('xception39', 1_842_289), ('r18', 13_494_777)])
def test_parameters_in_training(name, count):
    with torch.device('meta'):
        assert parameters(segmentor(name)) == count


@pytest.mark.parametrize(('name', 'count'), [('xception39', 1_476_939), ('r18', 12_829_139)])
def test_one_convolution_in_the_fusion(name, count):
    with torch.device('meta'):
        found = measure(segmentor(name, fusion='one-conv'), (64, 64))
    assert found.parameters == count


def test_parameters_by_part():
    network = segmentor('xception39')
    parts = {name: parameters(module) for name, module in network.backbone.named_children()}
    assert parts == dict(
        backbone=299_448,
        spatial_path=91_968,
        global_context=33_024,
        refine32=311_808,
        refine16=164_352,
        conv32=147_712,
        conv16=147_712,
        fusion=66_048 + 65_536 + 65_536,
    )
    assert parameters(network.decode_head) == 148_819


def test_fusion_is_its_equation():
    fusion = TwoConvFusion(12, 8, norm_cfg=dict(type='BN')).eval()
    spatial, context = torch.rand(2, 8, 5, 6), torch.rand(2, 4, 5, 6)
    z = torch.einsum('oi,nihw->nohw', fusion.conv1.conv.weight[..., 0, 0], torch.cat([spatial, context], 1))
    z = torch.relu(z / (1 + fusion.conv1.bn.eps) ** 0.5)
    first, second = fusion.conv_atten[0].weight[..., 0, 0], fusion.conv_atten[2].weight[..., 0, 0]
    gate = torch.sigmoid(torch.relu(z.mean((2, 3)) @ first.T) @ second.T)
    torch.testing.assert_close(fusion(spatial, context), z + z * gate[..., None, None])


@pytest.mark.parametrize('size', [(64, 64), (713, 1001), (65, 129)])
def test_odd_sizes(size):
    """All maps have sizes rounded up, at 1/8, 1/8 and 1/16."""
    network = BiSeNet(X39, (128, 256)).eval()
    with torch.no_grad():
        found = network(torch.rand(1, 3, *size))
    expected = [(256, 8), (128, 8), (128, 16)]
    assert [x.shape[1:] for x in found] == [(c, *(-(-side // stride) for side in size)) for c, stride in expected]


def test_every_parameter_gets_a_gradient():
    network = segmentor('xception39')
    maps = network.extract_feat(torch.rand(2, 3, 64, 64))
    sum(head(maps).square().mean() for head in (network.decode_head, *network.auxiliary_head)).backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize('backbone', [(X39, (128, 256)), (R18, (256, 512))], ids=['xception39', 'r18'])
def test_fused_norms(backbone):
    torch.manual_seed(0)
    network = BiSeNet(*backbone).eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    image = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        before = network(image)
        after = fuse_conv_bn(network)(image)
    assert not any(isinstance(module, _BatchNorm) for module in network.modules())
    for one, other in zip(before, after, strict=True):
        assert (one - other).abs().max() < 1e-5 * one.abs().max()


def test_norm_cfg_reaches_every_layer():
    """mmseg's does not get beyond the backbone."""
    norm_cfg = dict(type='BN', eps=0.123)
    for fusion in ('one-conv', 'two-conv'):
        network = BiSeNet(dict(X39, norm_cfg=norm_cfg), (128, 256), fusion=fusion, norm_cfg=norm_cfg)
        assert {m.eps for m in network.modules() if isinstance(m, _BatchNorm)} == {0.123}


@pytest.mark.parametrize(
    ('backbone', 'channels'),
    [
        (X39, (128, 256)),
        (dict(type='mmlight.ShuffleNetV2', widen_factor=0.5, out_indices=(1, 2)), (96, 192)),
    ],
)
def test_any_backbone_and_width(backbone, channels):
    network = BiSeNet(backbone, channels, spatial_channels=(8, 8, 8, 16), context_channels=24, out_channels=40)
    maps = network(torch.rand(2, 3, 64, 96))
    assert [x.shape[1:] for x in maps] == [(40, 8, 12), (24, 8, 12), (24, 4, 6)]


def test_ohem_leaves_easy_pixels_out():
    """On all three heads: what is sure and right gives no gradient, once enough other pixels are there."""
    network = segmentor('xception39')
    labels = torch.zeros(1, 1, 8, 8, dtype=torch.long)
    for head in (network.decode_head, *network.auxiliary_head):
        head.sampler.min_kept = 4
        logits = torch.zeros(1, 19, 8, 8)
        logits[:, 0, :, :4] = 10.0
        weight = head.sampler.sample(logits, labels)
        assert weight[0, :, :4].sum() == 0
        assert weight[0, :, 4:].unique().tolist() == [2]  # 64 labelled pixels, 32 kept


@pytest.mark.parametrize(
    'name',
    [
        'bisenet_xception39_4xb4-160k_cityscapes-1024x1024',
        'bisenet_xception39_4xb4-160k_cityscapes-768x1536',
        'bisenet_r18_4xb4-160k_cityscapes-768x1536',
        'bisenet_r18_4xb4-40k_camvid-720x960',
        'dfanet_a_ohem_4xb12-80k_cityscapes-1024x1024',
    ],
)
def test_ohem_keeps_a_sixteenth_of_the_crop(name):
    """As the authors' code does, whatever the crop."""
    cfg = load_config(name)
    height, width = next(step for step in cfg.train_pipeline if step.type == 'mmlight.JitterWindow').crop_size
    for head in (cfg.model.decode_head, *cfg.model.get('auxiliary_head', ())):
        assert 16 * head.sampler.min_kept == height * width


def test_three_losses():
    network = segmentor('xception39')
    sample = SegDataSample()
    sample.gt_sem_seg = PixelData(data=torch.zeros(1, 64, 64, dtype=torch.long))
    losses = network(torch.rand(2, 3, 64, 64), [sample, sample], mode='loss')
    assert {'decode.loss_ce', 'aux_0.loss_ce', 'aux_1.loss_ce'} <= losses.keys()


def test_one_image_in_training_is_refused_and_in_evaluation_is_not():
    network = BiSeNet(X39, (128, 256))
    with pytest.raises(InputError, match='needs two images at least, got 1'):
        network(torch.rand(1, 3, 128, 128))
    network.eval()(torch.rand(1, 3, 128, 128))


@pytest.mark.parametrize(
    ('wrong', 'text'),
    [
        (dict(in_channels=(64, 128, 256)), 'in_channels must be those of strides 16 and 32'),
        (dict(in_channels=(64, 256)), r'in_channels is \(64, 256\), the backbone gives \(128, 256\)'),
        (
            dict(in_channels=(64, 128), backbone=dict(X39, out_indices=(0, 1))),
            r'needs maps of strides 16 and 32, the backbone gives \(8, 16\): out_indices',
        ),
        (dict(fusion='sum'), "fusion must be one of .* got 'sum'"),
        (dict(upsample='cubic'), "upsample must be one of .* got 'cubic'"),
        (dict(spatial_channels=(64, 128)), 'spatial_channels must be four numbers'),
    ],
)
def test_wrong_arguments(wrong, text):
    with pytest.raises(InputError, match=text):
        BiSeNet(**{'backbone': X39, 'in_channels': (128, 256), **wrong})


def test_wrong_number_of_maps():
    with DefaultScope.overwrite_default_scope('mmseg'):
        network = BiSeNet(dict(R18, out_indices=(1, 2, 3)), (256, 512)).eval()
    with pytest.raises(InputError, match='the backbone gives 3'):
        network(torch.rand(1, 3, 64, 64))
