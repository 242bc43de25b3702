"""The start-up hook: mmdet imported first gets the patches too. Each case runs in its own interpreter."""

import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

from mmlight.compat import doctor, startup
from mmlight.errors import InputError

from .test_install import COMPILED, run

HOOKED = """
    import site, sys
    site.addsitedir(r'{site}')
"""


def hooked(site, code, **environment):
    return run(textwrap.dedent(HOOKED.format(site=site)) + textwrap.dedent(code), **environment)


@pytest.fixture
def site(tmp_path):
    startup.write(tmp_path)
    return tmp_path


@pytest.mark.parametrize('first', ['mmdet.models', 'mmseg.apis', 'mmcv.ops', 'mmengine.runner'])
def test_any_of_the_hosts_may_come_first(first, site):
    code = f"""
        assert 'mmengine' not in sys.modules and 'mmlight' not in sys.modules
        import {first}
        import mmlight
        assert not [r for r in mmlight.compat.status() if r.state in ('failed', 'disabled')]
        import mmcv.ops
        print(type(sys.modules['mmcv._ext']).__name__)
    """
    assert hooked(site, code).split() == ['module' if COMPILED else 'FallbackModule']


def test_it_can_be_switched_off(site):
    output = hooked(site, 'import mmengine; print("mmlight" in sys.modules)', MMLIGHT_NO_COMPAT='1')
    assert output.split() == ['False']


def test_mmlight_that_cannot_be_imported_is_said_and_stops_nothing(site):
    code = "sys.modules['mmlight'] = None\nimport mmengine\nprint('goes on')"
    assert hooked(site, code).split() == ['goes', 'on']


def test_it_leaves_no_finder_and_imports_nothing(site):
    code = f"""
        import sys
        before = set(sys.modules)
        import site
        site.addsitedir(r'{site}')
        print(*sorted(set(sys.modules) - before - {{'site'}}))
        import mmengine
        print([f for f in sys.meta_path if getattr(f, '__module__', '') == '_mmlight_startup'])
    """
    process = subprocess.run(
        [sys.executable, '-c', textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path[1:])},
    )
    assert process.stdout.splitlines() in (['_mmlight_startup', '[]'], ['', '[]'])  # '': installed here as well


def test_doctor_shows_and_repairs(tmp_path, monkeypatch):
    monkeypatch.setattr(sysconfig, 'get_path', lambda name: str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, '_mmlight_startup', raising=False)
    (tmp_path / startup.FILES[0]).write_text('# an old one\n')
    (tmp_path / startup.FILES[1]).write_text(startup.PTH)
    assert 'of another version of mmlight' in doctor.report()
    assert [Path(path).name for path in doctor.repair()] == list(startup.FILES)
    assert 'loaded by the first import' in doctor.report()
    (tmp_path / startup.FILES[1]).unlink()
    assert 'mmlight doctor --repair' in doctor.report()
    monkeypatch.setattr(sysconfig, 'get_path', lambda name: str(tmp_path / 'absent'))
    with pytest.raises(InputError, match='absent: No such file'):
        doctor.repair()
