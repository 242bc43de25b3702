"""A tiny data set, split for a search."""

import runpy
from pathlib import Path

import pytest
from cr_configs import CONFIGS

from mmlight.data.sample import generate


@pytest.fixture(scope='session')
def split(tmp_path_factory) -> Path:
    """12 pictures of the sample data set: 8 of archtrain, 4 of archval, and 4 to test on."""
    root = generate(tmp_path_factory.mktemp('data') / 'sample', num_train=12, num_val=4, size=(128, 96), progress=False)
    tool = runpy.run_path(str(CONFIGS.parents[1] / 'tools' / 'dataset_converters' / 'arch_split.py'))
    tool['split'](root / 'annotations' / 'instances_train.json', 4)
    return root
