import subprocess
import sys

import pytest
from tiny_project import environment

ONLY = """
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.split('.')[0] == {absent!r} else real(name, *rest)
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == {absent!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Absent())

from mmengine.registry import MODELS, DefaultScope
from mmlight.utils import register_all_modules
register_all_modules()
register_all_modules()
print(DefaultScope.get_current_instance().scope_name, MODELS.get('mmlight.SNet').__name__)
assert {absent!r} not in sys.modules
"""


@pytest.mark.parametrize(('absent', 'scope'), [('mmseg', 'mmdet'), ('mmdet', 'mmseg')])
def test_register_all_modules_with_one_host(absent, scope):
    command = [sys.executable, '-c', ONLY.format(absent=absent)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == [scope, 'SNet']
