"""A detector and a segmentor exported once."""

import pytest

from mmlight.deploy.export import Exported, export


@pytest.fixture(scope='session')
def thundernet(tmp_path_factory) -> Exported:
    return export('thundernet_snet49_sample', out=tmp_path_factory.mktemp('onnx') / 'thundernet.onnx', shape=[128, 160])


@pytest.fixture(scope='session')
def bisenet(tmp_path_factory) -> Exported:
    out = tmp_path_factory.mktemp('onnx') / 'bisenet.onnx'
    return export('bisenet_xception39_sample', out=out, shape=[96, 128], dynamic=['batch', 'size'])
