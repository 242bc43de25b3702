"""What the ShuffleNets, Xception* and MobileNetV2 share: strides and dilations, freezing, both hosts."""

import pytest
import reference_shufflenets as reference
import torch
from counting import parameters
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmlight.errors import InputError
from mmlight.models.backbones import MobileNetV2, ShuffleNetV1, ShuffleNetV2, SNet, XceptionStar
from mmlight.registry import MODELS

SHUFFLENETS = {'v1': ShuffleNetV1, 'v2': lambda **kw: ShuffleNetV2(0.5, leading_depthwise=True, **kw), 'snet': SNet}
OS8 = {'strides': (2, 1, 1), 'dilations': (1, 2, 4)}
BACKBONES = {
    'mmlight.ShuffleNetV1': OS8,
    'mmlight.ShuffleNetV2': OS8,
    'mmlight.MobileNetV2': {'strides': (1, 2, 2, 1, 1, 1, 1), 'dilations': (1, 1, 1, 2, 2, 4, 4)},
}


@pytest.mark.parametrize('make', SHUFFLENETS.values(), ids=SHUFFLENETS)
def test_output_stride_8_dilates_all_units_of_a_stage(make):
    plain, net = make(out_indices=(0, 1, 2)), make(out_indices=(0, 1, 2), **OS8)
    assert net.out_strides == (8, 8, 8)
    assert [x.shape[-1] for x in net.eval()(torch.zeros(1, 3, 64, 64))] == [8, 8, 8]
    assert parameters(net) == parameters(plain)
    for layer, dilation in zip(net.layers, OS8['dilations'], strict=True):
        spatial = [m for m in layer.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
        assert {m.dilation for m in spatial} == {(dilation, dilation)}
        assert {m.padding for m in spatial} == {(dilation * (m.kernel_size[0] // 2),) * 2 for m in spatial}
    assert net.load_state_dict(plain.state_dict(), strict=True) == ([], [])


@torch.no_grad()
def test_a_dilated_stage_is_the_plain_stage_on_every_second_pixel():
    """The units behind the first compute on four interleaved maps what they computed on one."""
    for make in SHUFFLENETS.values():
        plain = reference.randomize(make(out_indices=(0, 1)))
        net = make(out_indices=(0, 1), strides=(2, 1, 1), dilations=(1, 2, 2)).eval()
        net.load_state_dict(plain.state_dict())
        x = torch.rand(1, plain.out_channels[-1], 12, 16)
        fine = net.layers[1][1:](x)
        for row in (0, 1):
            for column in (0, 1):
                part = plain.layers[1][1:](x[:, :, row::2, column::2])
                torch.testing.assert_close(fine[:, :, row::2, column::2], part, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: ShuffleNetV2(strides=(2, 2)), r'ShuffleNetV2: strides must be 3 numbers, each 1 or 2, got \(2, 2\)'),
        (lambda: ShuffleNetV1(strides=(2, 2, 3)), r'ShuffleNetV1: strides.*\(2, 2, 3\)'),
        (lambda: SNet(dilations=(1, 2)), r'SNet: dilations must be 3 integers, each 1 or more, got \(1, 2\)'),
        (lambda: ShuffleNetV1(dilations=(1, 1, 0)), r'dilations.*\(1, 1, 0\)'),
    ],
)
def test_impossible_strides_and_dilations_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize('kind', [ShuffleNetV1, ShuffleNetV2, XceptionStar, MobileNetV2])
def test_frozen_stages_keep_weights_and_statistics(kind):
    """mmdet's and mmseg's MobileNetV2 let the stem's statistics drift, and ``train()`` returns nothing."""
    net = reference.randomize(kind(frozen_stages=2))
    held, free = net.stages()[:3], net.stages()[3:]
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    assert net.train() is net
    sum(x.square().mean() for x in net(torch.randn(2, 3, 64, 64))).backward()
    assert not any(p.requires_grad or p.grad is not None for part in held for p in part.parameters())
    assert not any(m.training for part in held for m in part.modules())
    assert all(p.grad is not None for part in free for p in part.parameters())
    frozen = tuple(f'{name}.' for name in ('conv1', 'layers.0', 'layers.1'))
    for name, tensor in net.state_dict().items():
        if name.startswith(frozen) or not name.endswith(('mean', 'var', 'tracked')):
            assert torch.equal(tensor, before[name]), name
        else:
            assert not torch.equal(tensor, before[name]), name
    assert net.eval() is net


@pytest.mark.parametrize('kind', [ShuffleNetV1, XceptionStar, MobileNetV2])
def test_norm_eval_holds_every_statistic(kind):
    net = kind(norm_eval=True).train()
    assert not any(m.training for m in net.modules() if isinstance(m, _BatchNorm))
    assert all(p.requires_grad for p in net.parameters())


@pytest.mark.parametrize(('kind', 'dilated'), BACKBONES.items())
def test_mmseg_s_heads_train_on_them_at_stride_32_and_8(kind, dilated):
    pytest.importorskip('mmseg')
    from mmseg.structures import SegDataSample

    init_default_scope('mmseg')
    norm = {'type': 'BN'}
    for settings, stride in (({}, 32), (dilated, 8)):
        backbone = MODELS.build({'type': kind, **settings})
        model = MODELS.build(
            {
                'type': 'EncoderDecoder',
                'data_preprocessor': {'type': 'SegDataPreProcessor', 'size': (64, 64)},
                'backbone': {'type': kind, 'norm_cfg': norm, **settings},
                'decode_head': {
                    'type': 'FCNHead', 'in_channels': backbone.out_channels[-1], 'in_index': -1, 'channels': 8,
                    'num_convs': 1, 'num_classes': 3, 'norm_cfg': norm, 'align_corners': False,
                },
                'test_cfg': {'mode': 'whole'},
            }
        )  # fmt: skip
        label = PixelData(data=torch.randint(3, (1, 64, 64)))
        samples = [SegDataSample(gt_sem_seg=label, metainfo={'img_shape': (64, 64)}) for _ in range(2)]
        model.loss(torch.randn(2, 3, 64, 64), samples)['decode.loss_ce'].backward()
        assert all(p.grad is not None for p in model.backbone.parameters())
        assert model.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 3, 64 // stride, 64 // stride)
