"""``tools/model_converters/backbone_to_mmlight.py``, run as a user runs it."""

import os
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmlight.models.backbones import ShuffleNetV2, SNet
from mmlight.registry import MODELS

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / 'tests' / 'test_models' / 'test_backbones'))

import reference_shufflenets as reference  # noqa: E402


@pytest.fixture
def run(monkeypatch, capsys):
    """The script in this process: starting another one costs seconds for its imports."""

    def call(*arguments):
        script = str(ROOT / 'tools' / 'model_converters' / 'backbone_to_mmlight.py')
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(script, run_name='__main__')
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return SimpleNamespace(returncode=code, stdout=out, stderr=err)

    return call


def config_line(output):
    """The backbone config that the script prints, built."""
    line = next(line for line in output.splitlines() if 'backbone=' in line)
    return eval(f'dict({line.strip()})', {'dict': dict})['backbone']


@pytest.mark.parametrize(
    ('net', 'prefix', 'layout', 'entries', 'image'),
    [
        (reference.Torchvision(1.0), '', 'torchvision', {'widen_factor': 1.0}, '123.675'),
        (reference.Megvii(0.5), 'module.', 'megvii', {'widen_factor': 0.5}, 'bgr_to_rgb=False'),
        (reference.OfficialSNet(146), 'module.', 'official SNet', {'arch': 146}, 'bgr_to_rgb=False'),
        (reference.MegviiV1(8, 0.5), 'module.', 'megvii', {'groups': 8, 'widen_factor': 0.5}, 'bgr_to_rgb=False'),
        (reference.MmpretrainV1(3, 1.0), 'backbone.', 'mmpretrain', {'groups': 3, 'widen_factor': 1.0}, '123.675'),
    ],
)
def test_the_printed_config_loads_the_written_file(net, prefix, layout, entries, image, tmp_path, run):
    reference.randomize(net)
    source, target = tmp_path / 'raw.pth', tmp_path / 'converted.pth'
    torch.save({'state_dict': {prefix + name: tensor for name, tensor in net.state_dict().items()}}, source)
    done = run(source, target)
    assert (done.returncode, done.stderr) == (0, '')
    assert image in done.stdout
    written = torch.load(target, weights_only=True)
    assert f'{len(written["state_dict"])} tensors' in done.stdout
    assert written['meta']['layout'] == layout
    assert set(tmp_path.iterdir()) == {source, target}

    backbone = config_line(done.stdout)
    assert entries.items() <= backbone.items()
    built = MODELS.build(backbone)
    built.init_weights()
    expected = {8 << i: x for i, x in enumerate(reference.features(net, torch.ones(1, 3, 64, 64))[:3])}
    for stride, found in zip(built.out_strides, built.eval()(torch.ones(1, 3, 64, 64)), strict=True):
        assert torch.allclose(found, expected[stride], rtol=0, atol=1e-6)


def test_a_detector_of_ours_gives_its_backbone(tmp_path, run):
    net = SNet(49, first_block='keep')
    state = {f'backbone.{name}': tensor for name, tensor in net.state_dict().items()}
    torch.save({'meta': {}, 'state_dict': {**state, 'neck.conv.weight': torch.zeros(1)}}, tmp_path / 'det.pth')
    done = run(tmp_path / 'det.pth', tmp_path / 'out.pth')
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict'].keys() == net.state_dict().keys()
    assert "arch=49, first_block='keep', shuffle_mode='interleave'" in done.stdout


def test_mobilenet_v2_of_torchvision(tmp_path, run, torchvision_models):
    net = reference.randomize(torchvision_models.mobilenet_v2(width_mult=0.75))
    torch.save(net.state_dict(), tmp_path / 'raw.pth')
    done = run(tmp_path / 'raw.pth', tmp_path / 'out.pth')
    assert (done.returncode, done.stderr) == (0, '')
    assert 'MobileNetV2 from the layout of torchvision\n' in done.stdout
    backbone = config_line(done.stdout)
    assert (backbone['type'], backbone['widen_factor']) == ('mmlight.MobileNetV2', 0.75)
    own = MODELS.build({**backbone, 'num_classes': 1000})
    own.init_weights()
    image = torch.ones(1, 3, 64, 64)
    assert torch.allclose(own.eval()(image), net(image), rtol=0, atol=1e-5)
    assert torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict'].keys() == own.state_dict().keys()


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (None, ['no such file']),
        (b'not a checkpoint', ['raw.pth']),
        ({'state_dict': {'conv1.weight': torch.zeros(1)}}, ['raw.pth', 'conv1.weight', 'torchvision', 'megvii']),
        ([1, 2], ['raw.pth', 'list']),
        (os.system, ['raw.pth', 'refused']),
        ({**ShuffleNetV2(0.5).state_dict(), 'layers.1.0.branch2.0.conv.weight': torch.zeros(5, 5, 1, 1)}, ['shapes']),
    ],
)
def test_bad_files_are_one_line_and_exit_code_2(content, words, tmp_path, run):
    source = tmp_path / 'raw.pth'
    if isinstance(content, bytes):
        source.write_bytes(content)
    elif content is not None:
        torch.save(content, source)
    done = run(source, tmp_path / 'out.pth')
    assert done.returncode == 2
    assert done.stderr.startswith('error: ')
    assert done.stderr.count('\n') == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert not (tmp_path / 'out.pth').exists()


def test_a_target_that_cannot_be_written(tmp_path, run):
    torch.save(ShuffleNetV2(0.5).state_dict(), tmp_path / 'raw.pth')
    (tmp_path / 'folder').mkdir()
    done = run(tmp_path / 'raw.pth', tmp_path / 'folder')
    assert done.returncode == 2
    assert done.stderr.startswith('error: DST')
    assert done.stderr.count('\n') == 1
