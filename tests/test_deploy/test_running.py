"""Exported files at work: alone with numpy, OpenCV and ONNX Runtime, and under a config's evaluator."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from test_export import FAMILIES, images

from mmlight.cli import main
from mmlight.data.sample import generate
from mmlight.deploy.export import export
from mmlight.deploy.onnx_model import OnnxModel
from mmlight.deploy.verification import predict
from mmlight.errors import InputError

SCRIPT = Path(__file__).parents[2] / 'tools' / 'deployment' / 'predict_onnx.py'


@pytest.fixture(scope='session')
def packages(tmp_path_factory) -> Path:
    """A folder with numpy, OpenCV and ONNX Runtime and what they bring, and nothing else."""
    folder = tmp_path_factory.mktemp('packages')
    for name in ('numpy', 'cv2', 'onnxruntime'):
        package = Path(importlib.util.find_spec(name).origin).parent
        beside = {'cv2': 'opencv*.libs'}.get(name, f'{name}.libs')
        for path in [package, *package.parent.glob(beside)]:
            (folder / path.name).symlink_to(path)
    return folder


def alone(packages: Path, *arguments: object) -> subprocess.CompletedProcess:
    """``predict_onnx.py ARGUMENTS`` in an interpreter that finds ``packages`` only; that torch is absent is checked."""
    code = (
        'import importlib.util, runpy, sys; sys.path.append(sys.argv.pop(1)); '
        'assert not any(map(importlib.util.find_spec, ("torch", "mmengine", "mmcv", "mmlight", "onnx"))); '
        'sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name="__main__"); assert "torch" not in sys.modules'
    )
    command = [sys.executable, '-S', '-I', '-c', code, packages, SCRIPT, *arguments]
    environment = {'PATH': os.environ['PATH'], 'OMP_NUM_THREADS': '1'}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, cwd=packages.parent)


def test_detections_without_torch(thundernet, packages, tmp_path):
    """The same boxes as mmdet's, in the pixels of an image of another size."""
    picture = images()[0]  # 288 x 384
    cv2.imwrite(str(tmp_path / 'street.png'), picture)
    done = alone(packages, thundernet.file, tmp_path / 'street.png', '--out', tmp_path / 'out', '--score-thr', 0)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith('1 pictures in')
    (row,) = json.loads((tmp_path / 'out/predictions.json').read_text())['images']
    expected = predict(thundernet.model, cv2.resize(picture, (160, 128))).pred_instances
    assert len(row['detections']) == len(expected) == 100
    np.testing.assert_allclose([x['score'] for x in row['detections']], expected.scores, atol=2e-5)
    boxes = expected.bboxes.numpy() * np.tile([384 / 160, 288 / 128], 2)
    boxes[:, 2:] -= boxes[:, :2]
    found = np.array([x['bbox'] for x in row['detections']])
    near = np.abs(found - boxes).max(1) < 0.1  # equal scores may have changed places
    assert near.mean() > 0.95
    drawn = cv2.imread(str(tmp_path / 'out' / row['picture']))
    assert drawn.shape == picture.shape
    assert (drawn != picture).any()


def test_labels_without_torch(bisenet, packages, tmp_path):
    """At a size of its own, which the file takes."""
    picture = cv2.resize(images()[0], (192, 160))
    cv2.imwrite(str(tmp_path / 'street.png'), picture)
    done = alone(packages, bisenet.file, tmp_path, '--out', tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / 'out/predictions.json').read_text())['images']
    labels = cv2.imread(str(tmp_path / 'out' / row['labels']), cv2.IMREAD_UNCHANGED)
    expected = predict(bisenet.model, cv2.resize(picture, (115, 96))).pred_sem_seg.data[0].numpy().astype(np.uint8)
    expected = cv2.resize(expected, (192, 160), interpolation=cv2.INTER_NEAREST)
    assert (labels == expected).mean() > 0.999
    assert sum(row['share'].values()) == pytest.approx(1, abs=1e-3)


def test_images_of_all_kinds_without_torch(thundernet, packages, tmp_path):
    """Grey, with transparency, 16 bits, turned by its EXIF data, a line of one pixel."""
    picture = images()[0][:48, :64]
    folder = tmp_path / 'images'
    folder.mkdir()
    cv2.imwrite(str(folder / 'a_grey.png'), picture[..., 0])
    cv2.imwrite(str(folder / 'b_alpha.png'), cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA))
    cv2.imwrite(str(folder / 'c_deep.png'), picture.astype(np.uint16) * 257)
    exif = b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'  # orientation 6: a quarter
    data = cv2.imencode('.jpg', picture)[1].tobytes()
    (folder / 'd_turned.jpg').write_bytes(data[:2] + b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif + data[2:])
    cv2.imwrite(str(folder / 'e_line.png'), np.zeros((1, 900, 3), np.uint8))
    model = onnx.load(thundernet.file)
    about = dict(thundernet.description, keep_ratio=True)
    onnx.helper.set_model_props(model, {'mmlight': json.dumps(about)})
    onnx.save(model, tmp_path / 'x.onnx')
    done = alone(packages, tmp_path / 'x.onnx', folder, '--out', tmp_path / 'out')
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / 'out/predictions.json').read_text())
    assert content['failed'] == []
    assert [(row['width'], row['height']) for row in content['images']] == [(64, 48)] * 3 + [(48, 64), (900, 1)]
    assert cv2.imread(str(tmp_path / 'out' / content['images'][3]['picture'])).shape == (64, 48, 3)
    done = alone(packages, tmp_path / 'x.onnx', folder, '--out', tmp_path / 'x.onnx')
    assert done.stderr == f'error: --out {tmp_path / "x.onnx"}: cannot be created (Not a directory)\n'


@pytest.mark.long
@pytest.mark.parametrize('name', FAMILIES)
def test_families_without_torch(name, packages, tmp_path):
    shape, dynamic = FAMILIES[name]
    exported = export(name, None, tmp_path / 'x.onnx', shape, dynamic)
    cv2.imwrite(str(tmp_path / 'street.png'), images()[0])
    done = alone(packages, exported.file, tmp_path / 'street.png', '--out', tmp_path / 'out', '--score-thr', 0)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / 'out/predictions.json').read_text())['images']
    assert row.get('detections') or row['share']


@pytest.mark.parametrize(
    ('file', 'image', 'message'),
    [
        ('gone.onnx', '.', 'error: gone.onnx: no such file\n'),
        ('plain.onnx', '.', 'plain.onnx: has no description; must be written by tools/deployment/export_onnx.py\n'),
        ('text.onnx', '.', 'text.onnx: cannot be read by onnxruntime ('),
        ('good.onnx', 'half.jpg', 'error: image half.jpg: truncated\nerror: no image could be read\n'),
        ('good.onnx', 'text.png', 'error: image text.png: cannot be decoded\nerror: no image could be read\n'),
    ],
)
def test_bad_input_without_torch(file, image, message, packages, thundernet):
    folder = packages.parent
    (folder / 'text.onnx').write_text('no network')
    (folder / 'text.png').write_text('no image')
    data = cv2.imencode('.jpg', images()[0])[1].tobytes()
    (folder / 'half.jpg').write_bytes(data[: len(data) // 2])
    model = onnx.load(thundernet.file)
    onnx.save(model, folder / 'good.onnx')
    del model.metadata_props[:]
    onnx.save(model, folder / 'plain.onnx')
    done = alone(packages, file, image, '--out', 'out')
    assert done.returncode == 2
    assert message in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.long
def test_evaluation_of_labels(bisenet, tmp_path, monkeypatch):
    """The config's own metric is the same for the file as for the network."""
    monkeypatch.chdir(tmp_path)
    generate('data/sample', num_train=1, num_val=2, size=(128, 96), progress=False)
    torch.save(bisenet.model.state_dict(), 'weights.pth')
    scores = []
    for arguments in (['weights.pth'], ['--onnx', bisenet.file]):
        assert main(['test', 'bisenet_xception39_sample', *map(str, arguments), '--work-dir', f'run{len(scores)}',
                     '--cfg-options', 'test_dataloader.num_workers=0', 'test_dataloader.persistent_workers=False',
                     'test_dataloader.dataset.pipeline.1.scale=(128,96)']) == 0  # fmt: skip
        (file,) = Path(f'run{len(scores)}').glob('*/*.json')
        scores.append(json.loads(file.read_text()))
    assert scores[0]['mIoU'] == pytest.approx(scores[1]['mIoU'], abs=0.02)
    assert scores[0]['aAcc'] > 0


def test_evaluation_of_boxes(thundernet):
    """In the place of a model it gives that model's instances, in the image's own pixels."""
    model = OnnxModel(str(thundernet.file), task='detection')
    image = images()[0]
    expected = predict(thundernet.model, cv2.resize(image, (160, 128)))
    small = torch.from_numpy(cv2.resize(image, (160, 128)).transpose(2, 0, 1).copy())
    sample = expected.clone()
    sample.set_metainfo(dict(scale_factor=(160 / 384, 128 / 288)))
    (found,) = model.test_step({'inputs': [small], 'data_samples': [sample]})
    torch.testing.assert_close(found.pred_instances.scores, expected.pred_instances.scores, atol=1e-5, rtol=0)
    assert found.pred_instances.bboxes[:, 2].max() <= 384.01
    torch.testing.assert_close(
        found.pred_instances.bboxes[0],
        expected.pred_instances.bboxes[0] * torch.tensor([2.4, 2.25] * 2),
        atol=1e-2,
        rtol=0,
    )
    with pytest.raises(InputError, match='takes 128 x 160, the config makes an image of 129 x 160'):
        model.test_step({'inputs': [torch.zeros(3, 129, 160)], 'data_samples': [sample]})
    with pytest.raises(InputError, match='can only be tested'):
        model(None)


def test_labels_in_the_images_size(bisenet):
    model = OnnxModel(str(bisenet.file), task='segmentation')
    image = cv2.resize(images()[0], (128, 96))
    expected = predict(bisenet.model, image)
    data = torch.from_numpy(image.transpose(2, 0, 1).copy())
    (found,) = model.test_step({'inputs': [data], 'data_samples': [expected.clone()]})
    assert (found.pred_sem_seg.data == expected.pred_sem_seg.data).float().mean() > 0.999
    sample = expected.clone()
    sample.set_metainfo(dict(ori_shape=(192, 256)))
    (larger,) = model.test_step({'inputs': [data], 'data_samples': [sample]})
    assert torch.equal(larger.pred_sem_seg.data[:, ::2, ::2], found.pred_sem_seg.data)


@pytest.mark.parametrize(
    ('config', 'arguments', 'message'),
    [
        ('thundernet_snet49_sample', ['--onnx', 'gone.onnx'], '--onnx gone.onnx: no such file'),
        ('thundernet_snet49_bccd', ['--onnx', '{thundernet}'], 'has 7 classes, the config 3 (person / '),
        ('bisenet_xception39_sample', ['--onnx', '{thundernet}'], 'is for detection, the config for segmentation'),
        ('thundernet_snet49_sample', ['--onnx', '{thundernet}', '--tta'], '--tta: an exported file has no'),
        ('thundernet_snet49_sample', [], 'checkpoint: give either a checkpoint or --onnx FILE'),
    ],
)
def test_bad_input_for_the_evaluation(config, arguments, message, thundernet, tmp_path, monkeypatch, capsys):
    from mmlight.runtime import test as testing

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(testing, 'check_config_data', lambda *args: None)  # the data is not here
    arguments = [argument.format(thundernet=thundernet.file) for argument in arguments]
    assert main(['test', config, *arguments]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error:')]
    assert message in line
