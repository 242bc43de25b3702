"""``effdet_to_mmlight.py`` and the key maps behind it; ``test_effdet_parity.py`` compares outputs."""

import hashlib
import os
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmlight.errors import InputError
from mmlight.layers.arithmetic import decode
from mmlight.registry import MODELS
from mmlight.tables.efficientdet_scaling import EFFICIENTDETS
from mmlight.weights.efficientdet import WIDTH, convert, key_map, reorder_boxes, select_classes

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs' / 'efficientdet' / 'efficientdet_d0_8xb16-crop512-300e_coco.py'
LAYOUTS = [(layout, name) for layout in WIDTH for name in EFFICIENTDETS if layout == 'effdet' or name[0] == 'd']


def raw(layout='effdet', name='d0', classes=90, **options):
    """A state dict of a layout with tensors of one element, but for those whose shapes are looked at."""
    names = key_map(layout, name, **options)
    weights = {source: torch.full((1,), float(i)) for i, source in enumerate(names)}
    weights[WIDTH[layout]] = torch.zeros(EFFICIENTDETS[name].width, 1, 3, 3)
    for source, target in names.items():
        if target.startswith('bbox_head.reg_pred.pw.'):
            weights[source] = torch.arange(36)
        elif target.startswith('bbox_head.cls_pred.pw.'):
            weights[source] = torch.arange(9 * classes)
    return weights


@pytest.mark.parametrize(('layout', 'name'), LAYOUTS)
def test_every_key_is_used_once(layout, name):
    source = raw(layout, name)
    given = name if name in ('d6', 'd7') else None
    weights, found, found_layout = convert(source, given, 90)
    assert decode(weights.pop('backbone.arithmetic')) == {'padding': 'same', 'eps': 1e-3}
    assert (found, found_layout) == (name, layout)
    names = key_map(layout, name)
    assert len(set(names.values())) == len(names) == len(weights) == len(source)
    edited = [key for key in weights if weights[key] is not source[{v: k for k, v in names.items()}[key]]]
    assert edited == ['bbox_head.reg_pred.pw.weight', 'bbox_head.reg_pred.pw.bias']


# Sorted keys of that repository's model (commit 15403b5), without the fusion weights that D6 to D7x have and never use.
@pytest.mark.parametrize(
    ('name', 'count', 'digest'), [('d0', 784, 'a94eeec8'), ('d6', 1882, '98291888'), ('d7x', 2274, '9ae35b6b')]
)
def test_keys_of_yaed(name, count, digest):
    weights = raw('yaed', name)
    unused = [f'p{level}_w{i}' for i, levels in ((1, (3, 4, 5, 6)), (2, (4, 5, 6, 7))) for level in levels]
    if name != 'd0':
        weights |= {f'bifpn.{c}.{key}': torch.ones(2) for c in range(8) for key in unused}
    assert len(weights) == count
    assert hashlib.sha256('\n'.join(sorted(weights)).encode()).hexdigest().startswith(digest)
    converted, found, _ = convert(weights, name)
    assert found == name
    assert len(converted) == len(key_map('yaed', name)) + 1  # the record of its padding


@pytest.mark.parametrize(
    ('source', 'target'),
    [
        ('backbone_net.model._blocks.0._depthwise_conv.conv.weight', 'backbone.layers.1.0.depthwise_conv.conv.weight'),
        ('backbone_net.model._blocks.8._bn2.bias', 'backbone.layers.4.3.linear_conv.bn.bias'),
        ('backbone_net.model._blocks.15._se_reduce.conv.bias', 'backbone.layers.5.4.se.conv1.conv.bias'),
        ('bifpn.0.p5_to_p6.1.running_var', 'neck.extra_lateral.bn.running_var'),
        ('bifpn.0.p5_down_channel.0.conv.weight', 'neck.cells.0.nodes.1.edges.0.lateral.conv.weight'),
        ('bifpn.0.p3_down_channel.1.weight', 'neck.cells.0.nodes.3.edges.0.lateral.bn.weight'),
        ('bifpn.0.p5_down_channel_2.0.conv.bias', 'neck.cells.0.nodes.5.edges.0.lateral.conv.bias'),
        ('bifpn.1.p6_w1', 'neck.cells.1.nodes.0.merge.edge_weights'),
        ('bifpn.2.p4_w2', 'neck.cells.2.nodes.4.merge.edge_weights'),
        ('bifpn.1.conv3_up.bn.weight', 'neck.cells.1.nodes.3.block.bn.weight'),
        ('bifpn.1.conv7_down.pointwise_conv.conv.bias', 'neck.cells.1.nodes.7.block.conv.pw.bias'),
        ('regressor.bn_list.4.2.running_mean', 'bbox_head.reg_bns.2.4.running_mean'),
        ('classifier.header.depthwise_conv.conv.weight', 'bbox_head.cls_pred.dw.weight'),
    ],
)
def test_places_of_yaeds_weights(source, target):
    assert key_map('yaed', 'd0')[source] == target


def test_norms_with_the_level_first():
    weights, _, _ = convert(raw(level_first=True))
    names = key_map('effdet', 'd0', level_first=True)
    assert names['class_net.bn_rep.4.2.running_var'] == 'bbox_head.cls_bns.2.4.running_var'
    assert weights.keys() == {*names.values(), 'backbone.arithmetic'}


def test_rows_of_the_predictions():
    rows = torch.arange(36)
    assert reorder_boxes(rows)[:8].tolist() == [1, 0, 3, 2, 5, 4, 7, 6]
    assert reorder_boxes(rows[:, None] + torch.zeros(1, 2)).shape == (36, 2)
    spans = ((1, 11), (13, 25), (27, 28), (31, 44), (46, 65), (67, 67), (70, 70), (72, 82), (84, 90))
    categories = [number for first, last in spans for number in range(first, last + 1)]
    assert len(categories) == 80
    selected = select_classes(torch.arange(810), 80)
    assert selected.tolist() == [anchor * 90 + number - 1 for anchor in range(9) for number in categories]
    assert torch.equal(select_classes(torch.arange(45), 5), torch.arange(45))


def without(*keys):
    return {name: tensor for name, tensor in raw().items() if name not in keys}


BIASES = 'fpn.cell.0.fnode.0.after_combine.conv.conv_pw.bias'


@pytest.mark.parametrize(
    ('weights', 'options', 'words'),
    [
        ({}, {}, ['no keys at all', 'effdet', 'yaed']),
        ({'neck.cells.0.nodes.0.block.bn.weight': torch.zeros(1)}, {}, ['known layout', 'neck.cells.0']),
        (without(BIASES), {}, ['tf_efficientdet', 'pad']),
        (without('backbone.bn1.bias'), {}, ['closest is d0', '1 keys are missing', 'backbone.bn1.bias']),
        (raw() | {'extra.weight': torch.zeros(1)}, {}, ['closest is d0', '1 keys are unknown', 'extra.weight']),
        (raw() | {WIDTH['effdet']: torch.zeros(72, 1, 3, 3)}, {}, ['d0', '72 channels']),
        (raw(), {'model': 'd1'}, ['d0', 'not of d1']),
        (raw(), {'model': 'd8'}, ["'d8'", 'd7x']),
        (raw('yaed', 'd1'), {'model': 'd0'}, ['d1', 'not of d0']),
        (raw('effdet', 'lite3'), {'model': 'lite3x'}, ['lite3', 'not of lite3x']),
        (raw('effdet', 'd7'), {}, ['d6 and d7', '--model']),
        (raw(classes=20), {}, ['20 classes', '80', '90']),
        (raw(), {'num_classes': 20}, ['90 classes', '20']),
        (raw(classes=80), {'num_classes': 90}, ['80 classes', '90']),
    ],
)
def test_refusals(weights, options, words):
    with pytest.raises(InputError) as error:
        convert(weights, **options)
    assert all(word in str(error.value) for word in words), error.value


def test_files_of_old_pytorch_count_no_batches():
    weights = {name: tensor for name, tensor in raw().items() if not name.endswith('num_batches_tracked')}
    converted, _, _ = convert(weights)
    assert converted.keys() == {*key_map('effdet', 'd0').values(), 'backbone.arithmetic'}
    assert converted['backbone.layers.0.bn.num_batches_tracked'] == 0


@pytest.fixture(scope='module')
def source():
    """State dict of D0 with 90 classes as effdet has it; the rows of its predictions are counted."""
    config = Config.fromfile(CONFIG)
    config.model.bbox_head.num_classes = 90
    init_default_scope('mmdet')
    weights = MODELS.build(config.model).state_dict()
    weights['bbox_head.reg_pred.pw.bias'] = torch.arange(36.0)
    weights['bbox_head.cls_pred.pw.bias'] = torch.arange(810.0)
    return {old: weights[new] for old, new in key_map('effdet', 'd0').items()}


@pytest.fixture
def run(monkeypatch, capsys):
    """The script in this process: starting another one costs seconds for its imports."""

    def call(*arguments):
        script = str(ROOT / 'tools' / 'model_converters' / 'effdet_to_mmlight.py')
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(script, run_name='__main__')
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    return call


def test_the_named_config_loads_the_written_file(source, tmp_path, run):
    raw_file, target = tmp_path / 'raw.pth', tmp_path / 'converted.pth'
    torch.save({f'module.{name}': tensor for name, tensor in source.items()}, raw_file)
    done = run(raw_file, target)
    assert (done.returncode, done.stderr) == (0, '')
    assert set(tmp_path.iterdir()) == {raw_file, target}
    written = torch.load(target, weights_only=True)
    assert written['meta'] == {'source': 'raw.pth', 'layout': 'effdet', 'model': 'd0', 'num_classes': 80}
    assert f'{len(written["state_dict"])} tensors of d0' in done.stdout

    config = next(word.strip(',') for word in done.stdout.split() if word.startswith('configs/'))
    model = MODELS.build(Config.fromfile(ROOT / config).model)
    model.load_state_dict(written['state_dict'])
    assert torch.equal(model.backbone.layers[0].conv.weight, source['backbone.conv_stem.weight'])
    assert model.bbox_head.reg_pred.pw.bias[:4].tolist() == [1, 0, 3, 2]
    assert model.bbox_head.cls_pred.pw.bias[79:81].tolist() == [89, 90]
    assert len(model.bbox_head.cls_pred.pw.bias) == 720


def test_a_training_of_effdet_gives_its_averaged_weights(source, tmp_path, run):
    averaged = {f'model.{name}': tensor for name, tensor in source.items()} | {'anchors.boxes': torch.zeros(4, 4)}
    zeros = {name: torch.zeros_like(tensor) for name, tensor in averaged.items()}
    torch.save({'epoch': 3, 'state_dict': zeros, 'state_dict_ema': averaged}, tmp_path / 'raw.pth')
    done = run(tmp_path / 'raw.pth', tmp_path / 'out.pth', '--model', 'd0', '--num-classes', '90')
    assert done.returncode == 0, done.stderr
    assert 'averaged' in done.stdout
    written = torch.load(tmp_path / 'out.pth', weights_only=True)
    assert torch.equal(written['state_dict']['bbox_head.cls_pred.pw.bias'], torch.arange(810.0))
    assert written['meta']['num_classes'] == 90


def test_yaed_comes_with_a_warning(source, tmp_path, run):
    names, yaed = key_map('effdet', 'd0'), {new: old for old, new in key_map('yaed', 'd0').items()}
    torch.save({yaed[names[name]]: tensor for name, tensor in source.items()}, tmp_path / 'raw.pth')
    done = run(tmp_path / 'raw.pth', tmp_path / 'out.pth')
    assert done.returncode == 0
    assert done.stderr.startswith('warning: ')
    assert 'border' in done.stderr
    assert done.stderr.count('\n') == 1
    assert (tmp_path / 'out.pth').is_file()


@pytest.mark.parametrize(
    ('content', 'options', 'words'),
    [
        (None, [], ['no such file']),
        (b'not a checkpoint', [], ['raw.pth']),
        ([1, 2], [], ['raw.pth', 'list']),
        (os.system, [], ['raw.pth', 'refused']),
        ({'state_dict': {'conv1.weight': torch.zeros(1)}}, [], ['raw.pth', 'conv1.weight', 'effdet', 'yaed']),
        (raw(), ['--model', 'd1'], ['raw.pth', 'd0', 'not of d1']),
        (raw(), ['--model', 'd9'], ['d9', 'd7x']),
        (raw(), ['--num-classes', '20'], ['90 classes']),
        (raw(), [], ['raw.pth', 'do not fit d0', '(1,) instead of (32, 3, 3, 3)']),
    ],
)
def test_bad_files_are_one_line_and_exit_code_2(content, options, words, tmp_path, run):
    file = tmp_path / 'raw.pth'
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    done = run(file, tmp_path / 'out.pth', *options)
    assert done.returncode == 2
    assert done.stderr.startswith('error: ')
    assert done.stderr.count('\n') == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert not (tmp_path / 'out.pth').exists()


def test_a_target_that_cannot_be_written(source, tmp_path, run):
    torch.save(source, tmp_path / 'raw.pth')
    (tmp_path / 'folder').mkdir()
    done = run(tmp_path / 'raw.pth', tmp_path / 'folder')
    assert done.returncode == 2
    assert done.stderr.startswith('error: DST')
    assert done.stderr.count('\n') == 1
    assert not any((tmp_path / 'folder').iterdir())
