"""8-bit files: which operators, that they still see what is there, calibration from a config's data, bad input."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mmlight.data.sample import generate
from mmlight.deploy.quantization import calibration_images, quantize
from mmlight.deploy.verification import _batch, open_session
from mmlight.errors import InputError
from mmlight.runtime.config import load_config


@pytest.fixture
def config(tmp_path, monkeypatch):
    """The sample config with a small data set."""
    monkeypatch.chdir(tmp_path)
    generate('data/sample', num_train=5, num_val=1, size=(128, 96), progress=False)
    return load_config('bisenet_xception39_sample', {'test_dataloader.dataset.pipeline.1.scale': (128, 96)})


@pytest.mark.long
def test_labels_in_integers(bisenet, config, tmp_path):
    calibration = calibration_images(config, 4)
    assert [tuple(image.shape) for image in calibration] == [(3, 96, 128)] * 4
    about = quantize(bisenet.file, tmp_path / 'int8.onnx', calibration)
    assert about['quantization'] == 'int8 Conv, Gemm, calibrated on 4 images'
    stored = {entry.key: entry.value for entry in onnx.load(tmp_path / 'int8.onnx').metadata_props}
    assert json.loads(stored['mmlight']) == about
    assert {key: about[key] for key in bisenet.description} == bisenet.description
    graph = onnx.load(tmp_path / 'int8.onnx').graph
    kinds = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) == 4}
    assert kinds == {onnx.TensorProto.INT8}
    image = {'image': _batch([calibration[0].numpy().transpose(1, 2, 0)])}
    before, after = (open_session(file).run(None, image)[0] for file in (bisenet.file, tmp_path / 'int8.onnx'))
    assert 0.5 < np.mean(before == after) < 1  # random weights have no margins between classes


def test_empty_calibration(config, tmp_path):
    with pytest.raises(InputError, match='calibration: no images'):
        quantize('any.onnx', tmp_path / 'x.onnx', [])
    with pytest.raises(InputError, match='--int8 0: must be 1 or more'):
        calibration_images(config, 0)
    for file in Path('data/sample/leftImg8bit/train').rglob('*.png'):
        file.unlink()
    with pytest.raises(InputError, match='is empty'):
        calibration_images(config)
    config.pop('train_dataloader')
    assert len(calibration_images(config)) == 1
    config.pop('test_dataloader')
    with pytest.raises(InputError, match='calibration needs its train_dataloader or test_dataloader'):
        calibration_images(config)


def test_an_image_that_is_too_large(thundernet, tmp_path):
    with pytest.raises(InputError, match='takes 128 x 160'):
        quantize(thundernet.file, tmp_path / 'x.onnx', [torch.zeros(3, 200, 160)])
