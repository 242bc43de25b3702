"""What the shipped configs begin with: every name is in the catalogue, and every file's names and shapes fit.

Nothing is downloaded: the files' names and shapes come from the public definitions in torchvision, timm, mmdet and
mmseg, or from the references beside the tests of the backbones.
"""

import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModule
from mmengine.registry import init_default_scope

from mmlight.errors import InputError
from mmlight.registry import MODELS
from mmlight.runtime.config import find_config, shipped_configs
from mmlight.tables.weight_layouts import layouts
from mmlight.weights.catalogue import catalogue, find, for_config, from_scratch
from mmlight.weights.download import CONVERTERS

sys.path.append(str(Path(__file__).parents[1] / 'test_models' / 'test_backbones'))

import reference_shufflenets as reference

PUBLIC = [name for name in shipped_configs() if any(data in name for data in ('coco', 'voc', 'cityscapes'))]
SCHEME = 'mmlight://'


def backbones(node: object) -> Iterator[dict]:
    """Every part of a model with its own initial weights in a file."""
    if isinstance(node, dict):
        init = node.get('init_cfg')
        if isinstance(init, dict) and init.get('type') == 'Pretrained':
            yield node
        for value in node.values():
            yield from backbones(value)


@cache
def models() -> dict[str, dict]:
    return {name: Config.fromfile(find_config(name)).model for name in PUBLIC}


@pytest.mark.parametrize('name', PUBLIC)
def test_a_config_names_its_initial_weights_or_says_why_there_are_none(name):
    files = [part['init_cfg']['checkpoint'] for part in backbones(models()[name])]
    if files:
        assert from_scratch(name) is None
    else:
        assert from_scratch(name), 'no initial weights and no reason in weights/from_scratch.yml'
    for file in files:
        assert file.startswith(SCHEME), file
        assert find(file.removeprefix(SCHEME)).use == 'backbone'


def torchvision_net(models, name):
    family, _, width = name.removeprefix('torchvision_').partition('_x')
    builder = f'{family}_x{width.replace(".", "_")}' if width else family
    return getattr(models, builder)()


def public_net(name: str, torchvision_models) -> torch.nn.Module:
    """The network whose state dict the file of an entry is, without memory for its weights."""
    prefix = name.partition('_')[0]
    if name == 'scr_resnext101_32x4d':
        return MODELS.build(dict(type='mmdet.ResNeXt', depth=101, groups=32, base_width=4))
    if prefix == 'scr':
        return getattr(torchvision_models, name.removeprefix('scr_'))()
    if prefix == 'torchvision':
        return torchvision_net(torchvision_models, name)
    if prefix == 'timm':
        models = import_module('timm').create_model
        return models('mobilenetv2_100' if name == 'timm_mobilenet_v2' else name.replace('timm_', 'tf_'))
    if name.startswith('mmpretrain_efficientnet'):  # mmdet's class is mmpretrain's
        return MODELS.build(dict(type='mmdet.EfficientNet', arch=name[-2:], out_indices=(6,)))
    if name == 'mmpretrain_mobilenet_v2':
        return MODELS.build(dict(type='mmseg.MobileNetV2', out_indices=(6,)))
    if name == 'mmpretrain_shufflenet_v1':
        return reference.MmpretrainV1(3, 1.0)
    raise AssertionError(f'no public definition of {name} here')


def state(name: str, torchvision_models) -> dict[str, torch.Tensor]:
    with torch.device('cpu' if 'efficientnet_b' in name else 'meta'):  # mmdet's class computes with numbers in tensors
        found = public_net(name, torchvision_models).state_dict()
    inner = find(name).format == 'mmengine checkpoint'
    return {f'backbone.{key}' if inner else key: x for key, x in found.items() if 'arithmetic' not in key}


def fits(part: dict, weights: dict[str, torch.Tensor]) -> None:
    """Load into the part's network, which must miss nothing."""
    part = dict(part)
    prefix = part.pop('init_cfg').get('prefix', '')
    weights = {key.removeprefix(prefix): x for key, x in weights.items() if key.startswith(prefix)}
    with torch.device('cpu' if part['type'].endswith('EfficientNet') else 'meta'):
        net = MODELS.build(part)
    missing = net.load_state_dict(weights, strict=False).missing_keys
    assert [key for key in missing if not key.endswith(('num_batches_tracked', 'dialect'))] == []


def initial() -> dict[tuple[str, str], dict]:
    """(entry, network) -> its config: each pair once."""
    parts = [part for model in models().values() for part in backbones(model)]
    return {
        (part['init_cfg']['checkpoint'].removeprefix(SCHEME), str(sorted(part.items(), key=str))): part
        for part in parts
    }


@pytest.mark.parametrize('name', sorted({entry for entry, _ in initial()}))
def test_the_published_names_and_shapes_fill_the_network(name, need, torchvision_models):
    if name.startswith('timm'):
        need('timm')
    init_default_scope('mmdet')
    published, entry = state(name, torchvision_models), find(name)
    weights = CONVERTERS[entry.converter](published, **entry.arguments) if entry.converter else published
    for part in (part for (other, _), part in initial().items() if other == name):
        fits(part, dict(weights))


def classes() -> dict[str, dict]:
    """Class of a backbone (and of one inside it) -> how a shipped config builds it."""
    found = {}
    for model in models().values():
        part = model
        while isinstance(part, dict) and part.get('backbone'):
            part = part['backbone']
            scope = '' if '.' in part['type'] else 'mmseg.' if 'decode_head' in model else 'mmdet.'
            kind = scope + part['type']
            if kind not in found or part.get('depth', 0) < found[kind].get('depth', 0):
                found[kind] = {**part, 'type': kind}
    return found | {'mmseg.ResNetV1c': dict(type='mmseg.ResNetV1c', depth=18)}


@pytest.mark.parametrize('kind', sorted(classes()))
def test_a_file_that_does_not_fit_is_refused(kind, tmp_path):
    """By every backbone that a shipped config has, other libraries' as well: mmengine would only warn."""
    init_default_scope('mmdet')
    file = tmp_path / 'file.pth'
    net = MODELS.build({**classes()[kind], 'init_cfg': dict(type='Pretrained', checkpoint=str(file))})

    def refused(weights: dict[str, torch.Tensor], message: str) -> None:
        torch.save({'state_dict': weights}, file)
        net._is_init = False
        with pytest.raises(InputError, match=rf'^{kind.partition(".")[2]}: .*{message}'):
            BaseModule.init_weights(net)

    refused({'trunk.0.weight': torch.ones(3, 3), 'trunk.0.bias': torch.ones(3)}, r'trunk\.0\.weight')
    own = net.state_dict()
    few = list(own)[: len(own) // 3]  # as a small network's in a deeper one
    refused({name: own[name] for name in few}, r'weights needed are in it|the first')


def test_a_detector_s_file_gets_a_hint(tmp_path):
    net = MODELS.build(dict(type='mmdet.ResNet', depth=18))
    torch.save({f'backbone.{name}': x for name, x in net.state_dict().items()}, tmp_path / 'file.pth')
    net.init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'file.pth'))
    with pytest.raises(InputError, match=r"write prefix='backbone\.' in its init_cfg"):
        net.init_weights()
    net.init_cfg['prefix'] = 'backbone.'
    net.init_weights()


def keras_state(width: float) -> dict[str, torch.Tensor]:
    """Names and shapes of ``keras.applications.mobilenet_v2`` in a file without its classifier."""

    def rounded(channels):
        new = max(8, int(channels + 4) // 8 * 8)
        return new + 8 if new < 0.9 * channels else new

    def norm(name, channels):
        return {f'{name}.{leaf}': torch.ones(channels) for leaf in ('weight', 'bias', 'running_mean', 'running_var')}

    inputs = rounded(32 * width)
    found = {'Conv1.weight': torch.ones(inputs, 3, 3, 3)} | norm('bn_Conv1', inputs)
    filters = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320]
    for number, channels in enumerate(filters):
        block, out = (f'block_{number}' if number else 'expanded_conv'), rounded(int(channels * width))
        wide = inputs * (6 if number else 1)
        if number:
            found |= {f'{block}_expand.weight': torch.ones(wide, inputs, 1, 1)} | norm(f'{block}_expand_BN', wide)
        found |= {f'{block}_depthwise.weight': torch.ones(wide, 1, 3, 3)} | norm(f'{block}_depthwise_BN', wide)
        found |= {f'{block}_project.weight': torch.ones(out, wide, 1, 1)} | norm(f'{block}_project_BN', out)
        inputs = out
    last = rounded(1280 * width) if width > 1 else 1280
    return found | {'Conv_1.weight': torch.ones(last, inputs, 1, 1)} | norm('Conv_1_bn', last)


@pytest.mark.parametrize('width', [0.35, 0.5, 0.75, 1.0, 1.3, 1.4])
def test_keras_weights_fill_mobilenet_v2_with_its_padding_alone(width, tmp_path):
    """Through a real .h5 as Keras 2 writes it, where h5py is there."""
    h5py = pytest.importorskip('h5py')
    from mmlight.weights import download

    leaves = {'weight': 'gamma', 'bias': 'beta', 'running_mean': 'moving_mean', 'running_var': 'moving_variance'}
    file = tmp_path / f'mobilenet_v2_{width}.h5'
    with h5py.File(file, 'w') as target:
        for name, value in keras_state(width).items():
            layer, _, leaf = name.rpartition('.')
            if value.dim() == 4:
                depthwise = layer.endswith('depthwise')
                value = value.permute((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
                leaf = 'depthwise_kernel' if depthwise else 'kernel'
            else:
                leaf = leaves[leaf]
            target[f'{layer}/{layer}/{leaf}:0'] = value.numpy()
    weights = CONVERTERS['layout'](download.read(file))
    settings = find(f'keras_mobilenet_v2_x{width}').settings
    net = dict(type='mmlight.MobileNetV2', widen_factor=width, out_indices=(7,), init_cfg=None)
    with pytest.raises(InputError, match="padding='same'"):
        MODELS.build(net).load_state_dict(dict(weights), strict=False)
    net |= {'padding': settings['model.backbone.padding'], 'norm_cfg': {'type': 'BN', 'eps': 1e-3}}
    fits({**net, 'init_cfg': {}}, weights)


def test_every_usable_entry_has_a_public_definition_or_a_test_of_its_own():
    tried = {entry for entry, _ in initial()}
    elsewhere = {  # where their key maps are run
        'effdet': 'tests/test_tools/test_effdet_converter.py, test_effdet_parity.py',
        'layout': 'Keras, above',
    }  # mmdet's NAS-FPN needs none: test_published.py
    for name, entry in catalogue().items():
        if entry.use in ('model', 'backbone') and name not in tried:
            assert entry.converter in elsewhere or name in OTHERS or name == 'mmdet_nas_fpn_r50', name


OTHERS = {
    'mmpretrain_mobilenet_v2': dict(type='mmlight.MobileNetV2', out_indices=(7,)),
    'timm_mobilenet_v2': dict(type='mmlight.MobileNetV2', out_indices=(7,)),
    'mmpretrain_shufflenet_v2': dict(type='mmlight.ShuffleNetV2', out_indices=(3,)),
}


@pytest.mark.parametrize('name', ['mmpretrain_mobilenet_v2', 'timm_mobilenet_v2'])
def test_other_mobilenet_v2s(name, need, torchvision_models):
    need('timm')
    published = state(name, torchvision_models)
    if name.startswith('mmpretrain'):  # mmseg's class ends before the last convolution
        norm = dict.fromkeys(('weight', 'bias', 'running_mean', 'running_var'), torch.ones(1280, device='meta'))
        published |= {f'backbone.conv2.bn.{key}': value for key, value in norm.items()}
        published['backbone.conv2.conv.weight'] = torch.ones(1280, 320, 1, 1, device='meta')
    fits({**OTHERS[name], 'init_cfg': {}}, published)


def yolo_fastest_v2(widths=(48, 96, 192)) -> torch.nn.ModuleDict:
    """Yolo-FastestV2's model/backbone/shufflenetv2.py (commit 2c0b338): names, shapes, and its way to split."""
    stages = {'first_conv': reference.stem(24)}
    inputs = 24
    for number, width in enumerate(widths, 2):
        units = [
            reference.AuthorsUnit(inputs if not i else width // 2, width, 1 if i else 2, 3)
            for i in range(reference.UNITS[number - 2])
        ]
        stages[f'stage{number}'] = torch.nn.Sequential(*units)
        inputs = width
    return torch.nn.ModuleDict(stages)


@torch.no_grad()
def test_yolo_fastest_v2_computes_the_same_maps():
    theirs = reference.randomize(yolo_fastest_v2())
    net = MODELS.build(
        dict(type='mmlight.ShuffleNetV2', widen_factor=0.5, first_block='keep', shuffle_mode='parity', init_cfg=None)
    )
    missing = net.load_state_dict({f'backbone.{key}': x for key, x in theirs.state_dict().items()}, strict=False)
    assert [key for key in missing.missing_keys if not key.endswith('dialect')] == []
    image = torch.rand(1, 3, 96, 96)
    x = torch.nn.functional.max_pool2d(theirs['first_conv'](image), 3, 2, 1)
    for stage, found in zip(('stage2', 'stage3', 'stage4'), net.eval()(image), strict=True):
        x = theirs[stage](x)
        assert (found - x).abs().max() <= 1e-5 * x.abs().max()
    assert any(layout.name == 'Yolo-FastestV2' for layout in layouts())


def test_short_names_take_the_publisher_s_own_first():
    assert for_config('efficientdet_d0_8xb16-crop512-300e_coco').name == 'efficientdet_d0'
