from pathlib import Path

import pytest

from mmlight.data.sample import generate

REAL = Path(__file__).parents[3] / 'shared' / 'data'


@pytest.fixture(scope='session')
def sample(tmp_path_factory) -> Path:
    """A small sample data set: 40 + 10 pictures, crowd regions and empty pictures among them."""
    return generate(tmp_path_factory.mktemp('data') / 'sample', num_train=40, num_val=10, seed=0, progress=False)


@pytest.fixture
def real() -> Path:
    if not REAL.is_dir():
        pytest.skip(f'{REAL} is not here')
    return REAL
