"""Weights of one arithmetic are never loaded into a network of another without a word."""

import pytest
import torch
from mmdet.models import ResNet
from mmengine.runner import load_state_dict
from mmengine.runner.checkpoint import load_checkpoint

from mmlight.errors import InputError
from mmlight.layers.arithmetic import KEY, encode
from mmlight.registry import MODELS
from mmlight.runtime.checkpoint import load_into

EPS = 1e-3
SAME = dict(padding='same', eps=EPS)


def bn(eps):
    return dict(type='BN', eps=eps)


# a network, arguments that change what it computes and not its shapes, and the record that a file of them has
OWN = [
    (dict(type='mmlight.TFResNet', depth=18), dict(padding='symmetric')),
    (dict(type='mmlight.MobileNetV2', widen_factor=0.35), dict(padding='same')),
    (dict(type='mmlight.EfficientNetLite'), dict(padding='symmetric')),
    (dict(type='mmlight.EfficientNet'), dict(padding='symmetric')),
    (dict(type='mmlight.EfficientNet'), dict(norm_cfg=bn(1e-5))),
    (dict(type='mmlight.SpineNet', arch='49S'), dict(padding='same-pool')),
    (dict(type='mmlight.SpineNet', arch='49S'), dict(pool_rule='single')),
    (dict(type='mmlight.SpineNet', arch='49S'), dict(endpoint_act=False)),
    (dict(type='mmlight.SpineNetMBConv', arch='49XS'), dict(padding='same')),
    (dict(type='mmlight.NASFPN', in_channels=(8, 8, 8), out_channels=8, stack_times=1), dict(norm_cfg=bn(1e-5))),
    (dict(type='mmlight.MobileNetV2', widen_factor=0.35), dict(norm_cfg=bn(EPS))),
    (dict(type='mmlight.SpineNet', arch='49S'), dict(norm_cfg=bn(1e-4))),
]
# networks of mmdet declare nothing: the file's record is compared with what can be seen of them
THEIRS = [
    (dict(type='mmdet.ResNet', depth=18), dict(padding='same-pool')),
    (dict(type='mmdet.ResNet', depth=18), dict(padding='symmetric', eps=1e-4)),
    (dict(type='mmdet.EfficientNet', arch='b0', norm_cfg=bn(1e-5)), SAME),
    (dict(type='mmdet.EfficientNet', arch='b0', norm_cfg=bn(EPS)), dict(padding='symmetric', eps=EPS)),
]


def names(settings):
    return '-'.join([settings[0]['type'].partition('.')[2], *settings[1]])


@pytest.mark.parametrize(('network', 'other'), OWN, ids=map(names, OWN))
def test_a_network_refuses_weights_of_its_own_kind(network, other):
    one, two = MODELS.build(network), MODELS.build(network | other)
    for source, target in ((one, two), (two, one)):
        with pytest.raises(InputError, match=r'are of .*, the network is of .*: write .* in the config'):
            target.load_state_dict(source.state_dict())
        with pytest.raises(InputError, match='write'):
            torch.nn.ModuleDict({'backbone': target}).load_state_dict(
                {f'backbone.{name}': x for name, x in source.state_dict().items()}
            )
    two.load_state_dict(two.state_dict())


@pytest.mark.parametrize(('network', 'record'), THEIRS, ids=map(names, THEIRS))
@pytest.mark.parametrize('part', ['', 'backbone.'])
def test_a_record_is_compared_with_other_libraries_networks(tmp_path, network, record, part):
    net = MODELS.build(network)
    model = torch.nn.ModuleDict({'backbone': net}) if part else net
    weights = model.state_dict() | {f'{part}{KEY}': encode(record)}
    torch.save({'state_dict': weights}, tmp_path / 'weights.pth')
    message = f'{type(net).__name__}: the weights are of .*: write'
    with pytest.raises(InputError, match=message):
        load_checkpoint(model, str(tmp_path / 'weights.pth'))
    with pytest.raises(InputError, match=message):  # `mmlight predict`, export and the tools
        load_into(model, dict(state_dict=weights))


def test_a_record_that_fits_is_taken_without_a_warning(capsys):
    net = MODELS.build(dict(type='mmdet.EfficientNet', arch='b0', norm_cfg=bn(EPS)))
    weights = net.state_dict() | {KEY: encode(SAME)}
    load_state_dict(net, weights)
    assert 'unexpected' not in capsys.readouterr().out
    assert KEY in weights  # the caller's dict is as it was


@pytest.mark.parametrize(
    ('network', 'common', 'other'),
    [
        (dict(type='mmlight.TFResNet', depth=18), 'symmetric', 'same-pool'),
        (dict(type='mmlight.MobileNetV2', widen_factor=0.35), 'symmetric', 'same'),
        (dict(type='mmlight.SpineNet', arch='49S'), 'symmetric', 'same-pool'),
        (dict(type='mmlight.SpineNetMBConv', arch='49XS'), 'symmetric', 'same'),
        (dict(type='mmlight.EfficientNet'), 'same', 'symmetric'),
        (dict(type='mmlight.EfficientNetLite'), 'same', 'symmetric'),
    ],
    ids=lambda value: value['type'].partition('.')[2] if isinstance(value, dict) else value,
)
def test_weights_that_say_nothing(network, common, other):
    """They are of the padding that all such files have: of torchvision, of mmdet, from before there were records."""
    right, wrong = (MODELS.build(network | dict(padding=padding)) for padding in (common, other))
    weights = {name: value for name, value in right.state_dict().items() if name != KEY}
    right.load_state_dict(weights)
    message = f'weights that do not say their padding are of .*: write padding={common!r} in the config'
    with pytest.raises(InputError, match=message):
        wrong.load_state_dict(weights)
    wrong.load_state_dict({}, strict=False)  # of no weights nothing is said


def test_a_start_from_torchvision_is_refused_too(tmp_path):
    torch.save(ResNet(18).state_dict(), tmp_path / 'resnet18.pth')
    start = dict(type='Pretrained', checkpoint=str(tmp_path / 'resnet18.pth'))
    with pytest.raises(InputError, match="write padding='symmetric' in the config"):
        MODELS.build(dict(type='mmlight.TFResNet', depth=18, init_cfg=start)).init_weights()
