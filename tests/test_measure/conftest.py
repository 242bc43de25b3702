from pathlib import Path

import pytest

from mmlight.data.sample import generate


@pytest.fixture(scope='session')
def sample(tmp_path_factory) -> Path:
    """A sample data set of 4 + 10 small pictures."""
    return generate(
        tmp_path_factory.mktemp('data') / 'sample', num_train=4, num_val=10, size=(192, 144), progress=False
    )
