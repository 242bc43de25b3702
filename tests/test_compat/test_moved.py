"""Old module names in users' configs and scripts."""

import subprocess
import sys

import pytest

from mmlight.compat.moved import MOVED, new_name

SCRIPT = """
import warnings
import mmlight
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter('always')
    import mmlight.engine
print(*{str(one.message) for one in seen if 'mmlight.engine' in str(one.message)})
warnings.simplefilter('ignore')
from mmlight.engine.config import load_config
from mmlight.datasets import coco_folder
from mmlight.graphs.builders import nas_fpn
import mmlight.engine.prediction, mmlight.runtime.config, mmlight.data.coco_folder, mmlight.tables.builders
assert load_config is mmlight.runtime.config.load_config
assert coco_folder is mmlight.data.coco_folder
assert mmlight.runtime.config.__name__ == 'mmlight.runtime.config' == mmlight.runtime.config.__spec__.name
try:
    import mmlight.engine.nothing
except ModuleNotFoundError as error:
    print(error)
"""


def test_old_names_are_the_modules_of_today():
    done = subprocess.run([sys.executable, '-c', SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        'mmlight.engine is mmlight.runtime now',
        "No module named 'mmlight.engine.nothing'",
    ]


@pytest.mark.parametrize('old', MOVED)
def test_every_new_name_exists(old):
    from importlib.util import find_spec

    assert find_spec(MOVED[old]) is not None
    assert new_name(old + '.x') == MOVED[old] + '.x'
    assert new_name(MOVED[old]) is None
