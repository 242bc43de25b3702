"""Loading weights of other implementations, and refusing those of the wrong dialect or network.

The weights are random, in networks written in the layouts of torchvision, megvii and the SNet release
(``reference_shufflenets.py``); equal features prove both the key maps and the forward pass.
"""

import logging
from pathlib import Path

import pytest
import reference_shufflenets as reference
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmengine.runner.checkpoint import load_state_dict as mmengine_load
from torch import nn

from mmlight.errors import InputError
from mmlight.layers.foreign_weights import convert
from mmlight.models.backbones import MobileNetV2, ShuffleNetV1, ShuffleNetV2, SNet, XceptionStar
from mmlight.registry import MODELS
from mmlight.tables.weight_layouts import layouts

HALF = {'first_block': 'half', 'shuffle_mode': 'interleave'}
KEEP = {'first_block': 'keep', 'shuffle_mode': 'parity'}
ALL = (0, 1, 2, 3)
MMPRETRAIN_MOBILE = next(x for x in layouts() if (x.name, x.network) == ('mmpretrain', 'MobileNetV2'))
CONFIG = Path(__file__).parents[3] / 'configs/thundernet/thundernet_snet146_4xb16-375k_coco-320.py'


def foreign(layout, width=0.5):
    """(network of another implementation, the same network here with all stages)."""
    if layout == 'torchvision':
        net, own = reference.Torchvision(width), ShuffleNetV2(width, out_indices=ALL)
    elif layout == 'megvii':
        net, own = reference.Megvii(width), ShuffleNetV2(width, out_indices=ALL, **KEEP)
    else:
        net, own = reference.OfficialSNet(146), SNet(146, out_indices=(0, 1, 2), **KEEP)
    return reference.randomize(net), own.eval()


def image(size=64):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(3))


def same_features(net, own, x=None):
    x = image() if x is None else x
    with torch.no_grad():
        expected, found = reference.features(net, x), own(x)
    assert len(expected) == len(found)
    return all(torch.allclose(a, b, rtol=0, atol=1e-6) and a.std() > 0.01 for a, b in zip(expected, found, strict=True))


CASES = [('torchvision', w) for w in (0.5, 1.0, 1.5, 2.0)] + [('megvii', w) for w in (0.5, 1.0, 1.5, 2.0)]
CASES += [('official', None)]


@pytest.mark.parametrize(('layout', 'width'), CASES)
def test_raw_weights_of_others_load_strictly_and_give_the_same_features(layout, width):
    net, own = foreign(layout, width)
    given = net.state_dict()
    names = list(given)
    assert own.load_state_dict(given, strict=True) == ([], [])
    assert same_features(net, own)
    assert same_features(net, own, image(90)[:, :, :, :71])
    assert list(given) == names, "the caller's state dict stays as it was"


@pytest.mark.parametrize(('layout', 'width'), CASES)
def test_raw_classifiers_give_the_same_logits(layout, width):
    net, _ = foreign(layout, width)
    dialect = HALF if layout == 'torchvision' else KEEP
    own = SNet(146, num_classes=1000, **dialect) if width is None else ShuffleNetV2(width, num_classes=1000, **dialect)
    own.load_state_dict(net.state_dict(), strict=True)
    with torch.no_grad():
        expected = reference.logits(net, image())
        assert expected.std() > 0.1
        torch.testing.assert_close(own.eval()(image()), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(('width', 'name'), [(0.5, 'x0_5'), (1.0, 'x1_0'), (1.5, 'x1_5'), (2.0, 'x2_0')])
@torch.no_grad()
def test_torchvision_s_own_shufflenet_v2(width, name, torchvision_models):
    net = reference.randomize(getattr(torchvision_models, f'shufflenet_v2_{name}')())
    own = ShuffleNetV2(width, num_classes=1000).eval()
    assert own.load_state_dict(net.state_dict(), strict=True) == ([], [])
    torch.testing.assert_close(own(image()), net(image()), rtol=0, atol=1e-5)


@pytest.mark.parametrize('width', [0.5, 1.0])
@torch.no_grad()
def test_torchvision_s_own_mobilenet_v2(width, torchvision_models):
    net = reference.randomize(torchvision_models.mobilenet_v2(width_mult=width))
    own = MobileNetV2(width, num_classes=1000).eval()
    assert own.load_state_dict(net.state_dict(), strict=True) == ([], [])
    torch.testing.assert_close(own(image()), net(image()), rtol=0, atol=1e-5)


@pytest.mark.parametrize(('host', 'layout'), [('mmdet', 'mmdet'), ('mmseg', 'mmpretrain')])
@torch.no_grad()
def test_mobilenet_v2_of_the_hosts(host, layout):
    """mmseg's has mmpretrain's names."""
    pytest.importorskip(host)
    last = 8 if host == 'mmdet' else 7
    init_default_scope(host)
    net = MODELS.build({'type': f'{host}.MobileNetV2', 'out_indices': tuple(range(last))})
    reference.randomize(net)  # returns nothing, as the hosts' train() does
    own = MobileNetV2(out_indices=range(last)).eval()
    assert convert(net.state_dict())[1].name == layout
    assert own.load_state_dict(net.state_dict(), strict=True) == ([], [])
    for found, expected in zip(own(image()), net(image()), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_mmpretrain_s_mobilenet_v2_classifier():
    """conv2 and head.fc beside the layers."""
    own = reference.randomize(MobileNetV2(num_classes=10))
    there = {here: name for name, here in MMPRETRAIN_MOBILE.modules.items() if name != 'fc'}
    assert there['layers.0.0.linear_conv.bn'] == 'layer1.0.conv.1.bn'
    assert there['layers.6.0.depthwise_conv.conv'] == 'layer7.0.conv.1.conv'
    assert (there['layers.7.conv'], there['fc']) == ('conv2.conv', 'head.fc')
    state = {}
    for name, tensor in own.state_dict().items():
        module, _, leaf = name.rpartition('.')
        if name == 'arithmetic':
            continue
        state[f'{"" if module == "fc" else "backbone."}{there[module]}.{leaf}'] = tensor
    twin = MobileNetV2(num_classes=10).eval()
    assert twin.load_state_dict(state, strict=True) == ([], [])
    assert torch.equal(twin(image()), own(image()))


V1_CASES = [(net, *key) for net in (reference.MegviiV1, reference.MmpretrainV1) for key in reference.V1_STAGES]
V1_MODES = {reference.MegviiV1: 'parity', reference.MmpretrainV1: 'interleave'}


@pytest.mark.parametrize(('kind', 'groups', 'width'), V1_CASES)
def test_shufflenet_v1_of_others(kind, groups, width):
    net = reference.randomize(kind(groups, width))
    own = ShuffleNetV1(groups, width, V1_MODES[kind]).eval()
    assert own.load_state_dict(net.state_dict(), strict=True) == ([], [])
    assert same_features(net, own)
    wrong = 'interleave' if V1_MODES[kind] == 'parity' else 'parity'
    with pytest.raises(InputError, match=f"are of shuffle_mode='{V1_MODES[kind]}', the network is of .*'{wrong}'"):
        ShuffleNetV1(groups, width, wrong).load_state_dict(net.state_dict())


@torch.no_grad()
def test_shufflenet_v1_classifiers_of_others():
    net = reference.randomize(reference.MegviiV1(3, 0.5))
    own = ShuffleNetV1(3, 0.5, 'parity', num_classes=1000).eval()
    own.load_state_dict({f'module.{name}': x for name, x in net.state_dict().items()}, strict=True)
    torch.testing.assert_close(own(image()), reference.logits(net, image()), rtol=0, atol=1e-5)
    backbone = reference.randomize(reference.MmpretrainV1(3, 0.5)).state_dict()
    head = {'head.fc.weight': torch.ones(2, 480), 'head.fc.bias': torch.zeros(2)}
    own = ShuffleNetV1(3, 0.5, num_classes=2).eval()
    state = {f'backbone.{name}': x for name, x in backbone.items()} | head
    assert own.load_state_dict(state, strict=True) == ([], [])
    assert torch.equal(own.fc.weight, head['head.fc.weight'])


def test_the_orders_of_channels_are_not_each_other_s_permutation():
    """Why 'parity' is a mode and not a conversion: which groups meet differs, at 8 groups and width 1.0 for one."""

    def meeting(order):
        """How many channels of group i go to group j."""
        source = torch.tensor(order(96, 8)) // 12
        return torch.stack([source.view(8, 12)[j].bincount(minlength=8) for j in range(8)])

    assert not torch.equal(meeting(reference.strided), meeting(reference.dealt))


@pytest.mark.parametrize('kind', [ShuffleNetV1, ShuffleNetV2, XceptionStar, MobileNetV2, SNet])
def test_own_classifiers_load_into_detectors(kind):
    source = reference.randomize(kind(num_classes=3))
    model = Detector({'type': f'mmlight.{kind.__name__}', 'out_indices': (1,)})
    state = {f'backbone.{name}': x for name, x in source.state_dict().items()}
    assert model.backbone.load_state_dict(source.state_dict(), strict=True) == ([], [])
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert (set(missing), unexpected) == ({'neck.weight', 'neck.bias'}, [])


@pytest.mark.parametrize(
    ('source', 'target', 'words'),
    [
        (ShuffleNetV2, ShuffleNetV1, r'ShuffleNetV1: the weights are of ShuffleNetV2 \(mmlight layout\), the network'),
        (lambda: reference.Megvii(1.0), ShuffleNetV1, r'of ShuffleNetV2 \(megvii layout\)'),
        (lambda: reference.MegviiV1(3, 1.0), ShuffleNetV2, r'ShuffleNetV2: .*of ShuffleNetV1 \(megvii layout\)'),
        (ShuffleNetV1, SNet, 'SNet: the weights are of ShuffleNetV1'),
        (MobileNetV2, XceptionStar, 'XceptionStar: the weights are of MobileNetV2'),
        (XceptionStar, MobileNetV2, 'MobileNetV2: the weights are of XceptionStar'),
    ],
)
def test_weights_of_another_network_are_refused_by_name(source, target, words):
    with pytest.raises(InputError, match=words):
        target().load_state_dict(source().state_dict(), strict=False)


@pytest.mark.parametrize(
    ('make', 'name', 'dialect'),
    [
        (lambda: reference.Torchvision(1.0), 'torchvision', HALF),
        (lambda: reference.Megvii(0.5), 'megvii', KEEP),
        (lambda: nn.ModuleDict({'module': reference.Megvii(1.5)}), 'megvii', KEEP),
        (lambda: reference.OfficialSNet(535), 'official SNet', KEEP),
        (lambda: SNet(49, **KEEP), 'mmlight', KEEP),
        (lambda: SNet(146, first_block='keep'), 'mmlight', {**KEEP, 'shuffle_mode': 'interleave'}),
    ],
)
def test_convert_tells_the_layout_by_its_keys(make, name, dialect):
    state = make().state_dict()
    weights, layout, found = convert(state)
    assert (layout.name, layout.network, found) == (name, 'ShuffleNetV2', dialect)
    assert len(weights) == len(state) + (name != 'mmlight') + ('classifier' in ' '.join(state))  # dialect, fc.bias
    assert convert(weights)[2] == dialect, 'what comes out says its dialect'


def test_own_tables_keep_their_names():
    net = SNet({'stem': 8, 'stages': ((16, 2), (32, 5)), 'final': 24, 'leading_depthwise': True}, out_indices=(2,))
    weights, _, dialect = convert(net.state_dict())
    assert dialect == HALF
    assert weights.keys() == net.state_dict().keys()
    assert net.load_state_dict(weights, strict=True) == ([], [])


def mmpretrain_file():
    """(mmlight classifier, its weights under mmpretrain's names)."""
    net = reference.randomize(ShuffleNetV2(1.0, num_classes=10))
    weights = {
        (f'head.{name}' if name.startswith('fc.') else f'backbone.{name}'): tensor
        for name, tensor in net.state_dict().items()
        if name != 'dialect'
    }
    return net, weights


def test_mmpretrain_files_are_half_and_interleave():
    net, weights = mmpretrain_file()
    converted, layout, dialect = convert(weights)
    assert (layout.name, dialect) == ('mmpretrain', HALF)
    assert converted.keys() == net.state_dict().keys()
    own = ShuffleNetV2(1.0, num_classes=10).eval()
    own.load_state_dict(weights, strict=True)
    assert torch.equal(own(image()), net(image()))


class Detector(BaseModule):
    """A backbone inside a model, as in mmdet's and mmseg's."""

    def __init__(self, backbone):
        super().__init__()
        self.backbone = MODELS.build(backbone)
        self.neck = nn.Conv2d(4, 4, 1)


SNET = {'type': 'mmlight.SNet', 'arch': 146, 'out_indices': (0, 1, 2)}


@pytest.fixture
def official(tmp_path):
    """(network of the SNet release, its checkpoint as the authors' training saves it)."""
    net, _ = foreign('official')
    path = tmp_path / 'snet.pth'
    torch.save({'state_dict': {f'module.{name}': tensor for name, tensor in net.state_dict().items()}}, path)
    return net, str(path)


def test_init_cfg_loads_a_raw_file_inside_a_detector(official):
    net, path = official
    model = Detector({**SNET, **KEEP, 'init_cfg': {'type': 'Pretrained', 'checkpoint': path}})
    model.init_weights()
    assert same_features(net, model.eval().backbone)


def test_init_cfg_with_a_prefix_takes_the_backbone_of_a_detector(official, tmp_path):
    net, _ = official
    source = Detector({**SNET, **KEEP})
    source.backbone.load_state_dict(net.state_dict())
    torch.save({'meta': {}, 'state_dict': source.state_dict()}, tmp_path / 'detector.pth')
    for prefix in ('backbone.', None):
        pretrained = {'type': 'Pretrained', 'checkpoint': str(tmp_path / 'detector.pth'), 'prefix': prefix}
        model = Detector({**SNET, **KEEP, 'init_cfg': pretrained})
        model.init_weights()
        assert same_features(net, model.eval().backbone)


def test_a_released_detector_s_backbone_loads_in_place(official):
    """The authors' detector file: raw names behind ``backbone.``."""
    net, _ = official
    model = Detector({**SNET, **KEEP})
    state = {f'backbone.{name}': t for name, t in net.state_dict().items() if not name.startswith('classifier')}
    state |= {f'neck.{name}': t for name, t in model.neck.state_dict().items()}
    assert model.load_state_dict(state, strict=True) == ([], [])
    assert same_features(net, model.eval().backbone)


def test_mmengine_load_state_dict_finds_no_mismatch(official):
    net, path = official
    own = SNet(146, out_indices=(0, 1, 2), **KEEP).eval()
    mmengine_load(own, net.state_dict(), strict=True)
    assert same_features(net, own)
    again = SNet(146, out_indices=(0, 1, 2), **KEEP).eval()
    load_checkpoint(again, path, map_location='cpu', strict=True)
    assert same_features(net, again)


@pytest.mark.parametrize('dialect', [HALF, KEEP, {'first_block': 'half', 'shuffle_mode': 'parity'}])
def test_own_checkpoints_load_strictly(dialect, tmp_path):
    source, target = (Detector({'type': 'mmlight.SNet', **dialect}) for _ in range(2))
    reference.randomize(source)
    assert target.load_state_dict(source.state_dict(), strict=True) == ([], [])
    torch.save(source.state_dict(), tmp_path / 'own.pth')
    load_checkpoint(target, str(tmp_path / 'own.pth'), strict=True)
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name])


LOADERS = [
    lambda net, state: net.load_state_dict(state, strict=True),
    lambda net, state: net.load_state_dict(state, strict=False),
    lambda net, state: mmengine_load(net, state, strict=False),
]


@pytest.mark.parametrize('load', LOADERS)
@pytest.mark.parametrize(
    ('source', 'target', 'has', 'wants'),
    [
        (lambda: reference.Megvii(0.5), HALF, KEEP, HALF),  # equal shapes: nothing else would notice
        (lambda: reference.Torchvision(0.5), KEEP, HALF, KEEP),
        (lambda: reference.Megvii(1.0), HALF, KEEP, HALF),
        (lambda: ShuffleNetV2(0.5, **KEEP), {**KEEP, 'shuffle_mode': 'interleave'}, KEEP, None),
        (lambda: ShuffleNetV2(1.0), KEEP, HALF, KEEP),
    ],
)
def test_the_wrong_dialect_is_refused_by_name(source, target, has, wants, load):
    state = source().state_dict()
    width = 1.0 if len(state[next(k for k in state if 'branch2.0' in k or 'branch_main.0' in k)]) == 58 else 0.5
    own = ShuffleNetV2(width, out_indices=ALL, **target)
    before = {name: tensor.clone() for name, tensor in own.state_dict().items()}
    with pytest.raises(InputError) as error:
        load(own, state)
    message = str(error.value)
    assert '\n' not in message
    assert message.startswith('ShuffleNetV2: ')
    dialect = f"first_block='{has['first_block']}', shuffle_mode='{has['shuffle_mode']}'"
    assert f'are of {dialect}' in message
    assert f'write {dialect} in the config' in message
    wants = wants or target
    assert f"network is of first_block='{wants['first_block']}', shuffle_mode='{wants['shuffle_mode']}'" in message
    assert all(torch.equal(tensor, before[name]) for name, tensor in own.state_dict().items())


def test_the_wrong_dialect_is_refused_inside_a_detector(official):
    _, path = official
    model = Detector({**SNET, 'init_cfg': {'type': 'Pretrained', 'checkpoint': path}})
    with pytest.raises(InputError, match=r"SNet: .*official SNet.*write first_block='keep', shuffle_mode='parity'"):
        model.init_weights()
    with pytest.raises(InputError, match=r'SNet: .*half.*interleave'):
        model.load_state_dict(Detector({**SNET, **KEEP}).state_dict())


def test_thundernet_starts_from_the_release_s_file_and_reloads_itself(official):
    """mmdet's own detector class, from the shipped config."""
    pytest.importorskip('mmdet')
    net, path = official
    config = Config.fromfile(CONFIG)
    init_default_scope('mmdet')
    config.model.backbone.update(**KEEP, init_cfg={'type': 'Pretrained', 'checkpoint': path})
    model = MODELS.build(config.model)
    model.init_weights()
    with torch.no_grad():
        expected = reference.features(net, image())[1:]
        for found, wanted in zip(model.eval().backbone(image()), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert model.load_state_dict(model.state_dict(), strict=True) == ([], [])
    config.model.backbone.update(**HALF)
    with pytest.raises(InputError, match="write first_block='keep', shuffle_mode='parity'"):
        MODELS.build(config.model).init_weights()


def test_names_of_mmlight_without_a_dialect_are_refused_by_the_authors_dialect():
    _, weights = mmpretrain_file()
    with pytest.raises(InputError, match='mmpretrain layout'):
        ShuffleNetV2(1.0, **KEEP).load_state_dict(weights)


def test_what_the_network_does_not_have_is_dropped():
    """Classifier, conv5 and deeper stages, from other layouts and from mmlight's own."""
    net, full = foreign('torchvision')
    full.load_state_dict(net.state_dict())
    for state in (net.state_dict(), full.state_dict()):
        own = ShuffleNetV2(0.5, out_indices=(1,)).eval()
        own.load_state_dict(state, strict=True)
        with torch.no_grad():
            assert torch.equal(own(image())[0], full(image())[1])


def test_partial_weights_are_treated_as_torch_treats_them(caplog):
    net, own = foreign('torchvision')
    state = {name: tensor for name, tensor in net.state_dict().items() if not name.startswith('conv1.0')}
    missing, unexpected = own.load_state_dict({**state, 'extra.weight': torch.zeros(1)}, strict=False)
    assert (missing, unexpected) == (['conv1.conv.weight'], ['extra.weight'])
    assert torch.equal(own.layers[0][0].branch2[0].conv.weight, net.stage2[0].branch2[0].weight)
    with pytest.raises(RuntimeError, match=r'Missing key.*conv1\.conv\.weight'):
        own.load_state_dict(state, strict=True)
    with caplog.at_level(logging.WARNING):
        mmengine_load(own, state, strict=False, logger=logging.getLogger('test'))
    assert 'conv1.conv.weight' in caplog.text


def test_other_shapes_are_reported_by_torch():
    net, _ = foreign('torchvision', 1.0)
    with pytest.raises(RuntimeError, match='size mismatch'):
        ShuffleNetV2(0.5).load_state_dict(net.state_dict())


def test_a_detector_without_backbone_weights_may_load_the_rest():
    model = Detector({'type': 'mmlight.SNet'})
    neck = {f'neck.{name}': tensor for name, tensor in model.neck.state_dict().items()}
    assert model.load_state_dict(neck, strict=False).unexpected_keys == []
    other = {'backbone.layer1.0.conv1.weight': torch.zeros(1)}
    assert model.load_state_dict({**neck, **other}, strict=False).unexpected_keys == list(other)


RESNET = {'conv1.weight': torch.zeros(1), 'layer1.0.conv1.weight': torch.zeros(1), 'fc.weight': torch.zeros(1)}


def test_an_unknown_layout_is_named():
    for act in (convert, SNet(49).load_state_dict, lambda state: mmengine_load(SNet(49), state)):
        with pytest.raises(InputError) as error:
            act(RESNET)
        assert '\n' not in str(error.value)
        assert all(name in str(error.value) for name in RESNET)
        assert all(layout.name in str(error.value) for layout in layouts())
    with pytest.raises(InputError, match='no keys at all'):
        convert({})


def test_convert_names_keys_that_do_not_belong():
    with pytest.raises(
        InputError, match=r'torchvision layout of ShuffleNetV2: 1 unknown keys, the first stage2\.0\.se\.weight'
    ):
        convert({**reference.Torchvision(0.5).state_dict(), 'stage2.0.se.weight': torch.zeros(1)})


def test_daybreak_s_layout_is_refused_with_the_reason():
    """conv1, stage1..3, branch_main and branch_proj; shuffled before the split."""
    state = {
        f'stage{int(name.split(".")[1]) + 1}.{name.split(".", 2)[2]}'.replace('branch_left', 'branch_proj').replace(
            'branch.', 'branch_main.'
        ): tensor
        for name, tensor in reference.OfficialSNet(146).state_dict().items()
        if name.startswith('stage.')
    }
    assert 'stage1.0.branch_proj.0.weight' in state
    for act in (convert, SNet(146, **KEEP).load_state_dict, SNet(146, first_block='keep').load_state_dict):
        with pytest.raises(InputError, match='shuffles before the split'):
            act({f'module.{name}': tensor for name, tensor in state.items()})


@pytest.mark.parametrize('code', [torch.tensor([0, 2]), torch.tensor([1]), 'keep'])
def test_a_damaged_dialect_is_refused(code):
    with pytest.raises(InputError, match=r"'dialect' must be a number 0 or 1 for each of first_block, shuffle_mode"):
        convert({**SNet(49).state_dict(), 'dialect': code})
