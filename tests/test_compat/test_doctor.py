"""``mmlight doctor`` tells what is wrong, in every state of the installation that a test can stage."""

import importlib
import re
import sys

import pytest

from mmlight import compat
from mmlight.compat.doctor import diagnose, report

from .test_install import COMPILED, run


def test_a_working_installation():
    text, code = diagnose()
    assert code == 0, text
    assert report() == text
    for name in ('torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'numpy', 'cv2', 'setuptools', 'ssd-head'):
        assert name in text
    assert ('all (' if COMPILED else 'roi_align_forward') in text


@pytest.mark.parametrize(
    ('absent', 'code', 'says'),
    [
        (['mmdet'], 0, 'mmdet is not installed, so detection'),
        (['mmseg'], 0, 'mmseg is not installed, so segmentation'),
        (['mmdet', 'mmseg'], 1, 'neither mmdet nor mmseg'),
        (['mmcv'], 1, 'pip install mmcv-lite'),
        (['mmengine'], 1, 'pip install mmengine'),
    ],
)
def test_something_is_absent(absent, code, says, monkeypatch):
    for name in absent:
        monkeypatch.setitem(sys.modules, name, None)  # what Python itself puts there for "cannot be imported"
    text, found = diagnose()
    assert says in text
    assert found == code


def test_nothing_but_mmlight_is_there():
    output = run("""
        import sys
        for name in ('torch', 'torchvision', 'numpy', 'cv2', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'packaging'):
            sys.modules[name] = None
        import mmlight
        from mmlight.compat.doctor import diagnose
        print(*diagnose())
    """)
    assert 'pip install torch' in output
    assert output.strip().endswith('1')


def test_a_host_that_cannot_be_imported():
    output = run("""
        import sys
        sys.modules['ftfy'] = sys.modules['mmdet'] = None
        import mmlight
        from mmlight.compat.doctor import diagnose
        print(*diagnose())
    """)
    assert 'mmseg.models cannot be imported' in output
    assert 'pip install ftfy' in output
    assert output.strip().endswith('1')


@pytest.mark.parametrize(
    ('package', 'version', 'code', 'says'),
    [
        ('mmdet', '2.28.0', 1, 'mmdet 2.28.0 is too old'),
        ('mmdet', '4.0.0', 0, 'mmdet 4.0.0 is newer'),
        ('mmengine', '0.9.0', 1, 'mmengine 0.9.0 is too old'),
        ('mmcv', '3.0.0', 0, 'mmcv 3.0.0 is newer'),
        ('mmseg', 'nonsense', 0, 'mmseg nonsense'),
    ],
)
def test_versions_out_of_range(package, version, code, says, monkeypatch):
    monkeypatch.setattr(importlib.import_module(package), '__version__', version)
    text, found = diagnose()
    assert says in text
    assert found == code


def test_two_mmcv_distributions(tmp_path, monkeypatch):
    for name in ('mmcv', 'mmcv-lite'):
        folder = tmp_path / f'{name.replace("-", "_")}-2.1.0.dist-info'
        folder.mkdir()
        (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: 2.1.0\n')
        (folder / 'top_level.txt').write_text('mmcv\n')
    monkeypatch.syspath_prepend(tmp_path)
    text, code = diagnose()
    assert re.search('mmcv and mmcv-lite (and onedl-mmcv )?overwrite each other', text)
    assert code == 1


def test_broken_torchvision_is_a_note(tmp_path, monkeypatch):
    (tmp_path / 'torchvision.py').write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.delitem(sys.modules, 'torchvision', raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    text, code = diagnose()
    assert 'broken: RuntimeError: operator torchvision::nms does not exist' in text
    assert code == 0


def test_failed_patch(monkeypatch):
    monkeypatch.setitem(compat._records, 'ssd-head', compat.Record('ssd-head', 'failed', 'no such class'))
    text, code = diagnose()
    assert 'the patch ssd-head failed: no such class' in text
    assert code == 1


@pytest.mark.skipif(COMPILED, reason='mmcv has compiled operators here')
def test_switched_off_compatibility_is_named():
    output = run(
        """
        import sys
        sys.modules['mmdet'] = sys.modules['mmseg'] = None
        import mmlight
        from mmlight.compat.doctor import diagnose
        print(*diagnose())
        """,
        MMLIGHT_NO_COMPAT='1',
    )
    assert 'unset MMLIGHT_NO_COMPAT' in output
    assert output.strip().endswith('1')
