"""What ``import mmlight`` does to a fresh process: each case runs in its own."""

import os
import subprocess
import sys
import textwrap

import pytest

from mmlight import compat
from mmlight.compat.ops_fallback import native_extension

COMPILED = native_extension() is not None


def run(code, *, path=None, **environment):
    """Run ``code`` in a fresh interpreter; returns what it printed."""
    variables = {**os.environ, 'OMP_NUM_THREADS': '1', **environment}
    variables['PYTHONPATH'] = os.pathsep.join(filter(None, [path and str(path), *sys.path[1:]]))
    process = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', textwrap.dedent(code)], capture_output=True, text=True, env=variables
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def test_import_is_light():
    loaded = run("""
        import sys, mmlight
        print(sorted({'mmdet', 'mmseg', 'mmcv', 'torchvision'} & set(sys.modules)))
    """)
    assert loaded.strip() == '[]'


def test_status_is_in_the_documented_vocabulary():
    records = compat.status()
    assert len(records) == len(compat.WALLS)
    assert {record.state for record in records} <= {'applied', 'not needed', 'pending import', 'disabled', 'failed'}
    assert not [record for record in records if record.state == 'failed']
    assert all(record.reason for record in records)


def test_install_twice_is_install_once():
    run("""
        import sys, mmlight
        from mmlight import compat
        finders, first = list(sys.meta_path), compat.status()
        compat.install()
        assert sys.meta_path == finders and compat.status() == first
        import mmengine.dist.utils
        start = mmengine.dist.utils._init_dist_pytorch
        compat.install()
        assert mmengine.dist.utils._init_dist_pytorch is start
    """)


def test_switched_off_it_touches_nothing():
    output = run(
        """
        import sys
        finders = list(sys.meta_path)
        import mmlight
        # what waits for mmengine's file backends adds one of our own; it replaces nothing
        new = [finder for finder in sys.meta_path if finder not in finders]
        assert [type(finder).__name__ for finder in new] == ['_WatchingFinder']
        print({record.state for record in mmlight.compat.status()})
        import mmengine.config.utils, mmengine.dist.utils, mmengine.runner.checkpoint as c
        import mmengine.utils.dl_utils as u
        assert 'mmlight' not in mmengine.config.utils.MODULE2PACKAGE
        for function in (c.CheckpointLoader._schemes[''], mmengine.dist.utils._init_dist_pytorch, u.collect_env):
            assert function.__module__.startswith('mmengine') and not hasattr(function, '__wrapped__')
        assert mmengine.utils.is_installed.__module__.startswith('mmengine')
        try:
            import mmcv.ops
        except ModuleNotFoundError as error:
            print(error.name)
        """,
        MMLIGHT_NO_COMPAT='1',
    )
    assert output.split('\n')[:2] == ["{'disabled'}", '' if COMPILED else 'mmcv._ext']


def test_walls_reach_what_is_already_imported():
    run("""
        import mmengine.runner, mmengine.hub, mmengine.config, mmengine.dist
        try:
            import mmcv.ops
        except ModuleNotFoundError:
            pass
        import mmlight
        import mmcv.ops
        import torch
        assert mmcv.ops.nms(torch.tensor([[0., 0, 1, 1]]), torch.tensor([1.]), 0.5)[1].tolist() == [0]
        from mmengine.utils import get_installed_path
        assert mmengine.hub.get_config('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py').model.type == 'RetinaNet'
        assert get_installed_path('mmsegmentation').endswith('mmseg')
        assert mmengine.runner.checkpoint.CheckpointLoader._schemes[''].__module__ == 'mmlight.compat.checkpoint'
        assert hasattr(mmengine.runner.runner.collect_env, '__wrapped__')
    """)


@pytest.mark.skipif(not COMPILED, reason='mmcv has no compiled operators here')
def test_compiled_operators_are_left_alone():
    record = {record.name: record for record in compat.status()}['mmcv-operators']
    assert record.state == 'not needed'
    assert 'not installed, compiled operators found' in record.reason
    assert not hasattr(sys.modules.get('mmcv._ext'), '__is_fallback__')


@pytest.mark.skipif(COMPILED, reason='mmcv has compiled operators here')
def test_fallback_is_marked_and_looks_like_a_module():
    import mmcv.ops  # noqa: F401
    from mmcv.utils import collect_env
    from mmcv.utils.ext_loader import check_ops_exist
    from mmengine.utils.dl_utils import mmcv_full_available

    extension = sys.modules['mmcv._ext']
    assert extension.__is_fallback__
    assert extension.__spec__.loader is not None
    assert 'mmlight' in extension.__spec__.origin
    assert mmcv_full_available()
    assert check_ops_exist()
    assert not hasattr(extension, '__path__')
    assert callable(extension.carafe_forward)
    assert 'fallback' in collect_env()['MMCV Compiler']


@pytest.mark.skipif(COMPILED, reason='mmcv has compiled operators here')
def test_compiled_operators_that_appear_win(tmp_path):
    """The finder stands last: a real ``mmcv/_ext`` is what gets imported."""
    run(
        f"""
        import sys, mmcv
        open(r'{tmp_path}/_ext.py', 'w').write('compiled = True')
        import mmlight
        mmcv.__path__.append(r'{tmp_path}')
        import mmcv._ext
        assert mmcv._ext.compiled
        """
    )
    output = run(
        f"""
        import sys, importlib.machinery

        class Finder:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name == 'mmcv._ext':
                    return importlib.machinery.PathFinder.find_spec('_ext', [r'{tmp_path}'])

        sys.meta_path.insert(0, Finder)
        import mmlight
        print(mmlight.compat.status()[0].state)
        """
    )
    assert output.strip() == 'not needed'


@pytest.mark.skipif(COMPILED, reason='mmcv has compiled operators here')
def test_strict_refuses_to_build_what_cannot_run():
    run(
        """
        import mmlight, mmcv.ops as ops
        ops.RoIAlign(7), ops.RoIPool(7, 1.0), ops.SyncBatchNorm
        for build in (lambda: ops.PrRoIPool(7, 1.0), lambda: ops.BorderAlign(3)):
            try:
                build()
            except NotImplementedError as error:
                assert 'prroi_pool_forward' in str(error) or 'border_align_forward' in str(error)
            else:
                raise AssertionError
        """,
        MMLIGHT_STRICT_OPS='1',
    )


def test_python_without_find_loader():
    run("""
        import pkgutil
        vars(pkgutil).pop('find_loader', None)
        import mmlight, mmengine.optim, mmengine.model
        from mmcv.utils import ext_loader
        from mmengine.utils.dl_utils import mmcv_full_available
        assert mmcv_full_available() and ext_loader.check_ops_exist()
        assert mmengine.optim.optimizer.default_constructor.mmcv_full_available is mmcv_full_available
        assert mmengine.model.utils.mmcv_full_available is mmcv_full_available
        states = {record.name: record.state for record in mmlight.compat.status()}
        assert states['op-check-mmengine'] == states['op-check-mmcv'] == 'applied'
    """)


def test_newer_mmcv_is_accepted():
    output = run("""
        import sys, mmcv
        mmcv.__version__ = '2.3.6'
        import logging, mmlight
        logging.basicConfig(stream=sys.stdout)
        import mmdet, mmseg
        assert mmcv.__version__ == '2.3.6'
        states = {record.name: record.state for record in mmlight.compat.status()}
        assert states['mmcv-version-mmdet'] == states['mmcv-version-mmseg'] == 'applied'
    """)
    assert output.count('WARNING') == 1
    assert '2.3.6' in output


@pytest.mark.parametrize(
    ('version', 'relaxable'),
    [('2.1.0', False), ('2.2.0rc1', False), ('2.2.0', True), ('2.3.6', True), ('3.0.0rc1', False), ('3.0.0', False)],
)
def test_which_mmcv_is_accepted(version, relaxable):
    from mmlight.compat.mmcv_version import _is_relaxable

    assert _is_relaxable(version) is relaxable


def test_timm_beside_a_broken_torchvision_does_not_stop_mmseg(tmp_path):
    (tmp_path / 'torchvision.py').write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    (tmp_path / 'timm.py').write_text('import torchvision\n')
    code = f"""
        import sys
        sys.path.insert(0, r'{tmp_path}')
        import mmlight
        import mmseg.models
        from mmlight.compat import status
        assert 'timm' not in sys.modules
        print([record.state for record in status() if record.name == 'timm'])
    """
    assert run(code, path=tmp_path).strip().endswith("['applied']")


def test_broken_torchvision_and_absent_distutils_do_not_stop_a_runner(tmp_path):
    package = tmp_path / 'torchvision'
    package.mkdir()
    (package / '__init__.py').write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    code = f"""
        import sys
        class NoDistutils:
            @staticmethod
            def find_spec(name, path=None, target=None):
                if name.partition('.')[0] == 'distutils':
                    raise ModuleNotFoundError("No module named 'distutils'", name='distutils')
        sys.meta_path.insert(0, NoDistutils)
        for name in [name for name in sys.modules if name.startswith(('distutils', 'setuptools'))]:
            del sys.modules[name]
        import mmlight
        from mmengine.runner import Runner
        from mmengine.model import BaseModel
        from mmengine.utils.dl_utils import collect_env
        class Model(BaseModel):
            def forward(self, *args, **kwargs):
                return {{}}
        Runner(Model(), work_dir=r'{tmp_path}', experiment_name='broken')
        report = collect_env()
        assert 'does not exist' in report['TorchVision'] and report['GCC']
        assert 'torchvision' not in sys.modules and 'distutils.errors' not in sys.modules
        try:
            collect_env.__wrapped__()
        except (ModuleNotFoundError, RuntimeError) as error:
            assert 'distutils' in str(error) or 'torchvision::nms' in str(error)
        else:
            raise AssertionError('mmengine no longer needs this wall')
    """
    run(code, path=tmp_path)


def test_packages_are_found(tmp_path):
    """With pkg_resources where the environment has it, and else without."""
    from mmengine.config import Config
    from mmengine.config.utils import _get_package_and_cfg_path
    from mmengine.utils import get_installed_path, is_installed
    from mmengine.utils.package_utils import package2module

    assert is_installed('mmdet')
    assert is_installed('mmsegmentation')
    assert is_installed('mmlight')
    assert not is_installed('no-such-package')
    for package, module in (('mmdet', 'mmdet'), ('mmsegmentation', 'mmseg'), ('mmlight', 'mmlight')):
        path = get_installed_path(package)
        assert os.path.basename(path) == module
        assert os.path.isfile(os.path.join(path, '__init__.py'))
    assert package2module('mmsegmentation') == 'mmseg'
    with pytest.raises(Exception, match='no-such-package'):
        get_installed_path('no-such-package')
    child = tmp_path / 'child.py'
    child.write_text("_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'")
    assert Config.fromfile(child).model.type == 'RetinaNet'
    assert _get_package_and_cfg_path('mmlight::thundernet/x.py') == ('mmlight', 'thundernet/x.py')


def test_own_look_up_functions():
    """The replacements themselves, also where pkg_resources makes them superfluous."""
    from mmlight.compat import packages

    assert packages.is_installed('mmsegmentation')
    assert packages.is_installed('mmlight')
    assert not packages.is_installed('no-such-package')
    assert packages.package2module('mmsegmentation') == 'mmseg'
    assert packages.get_installed_path('mmsegmentation').endswith('mmseg')
    assert packages.get_installed_path('mmlight').endswith('mmlight')
    with pytest.raises(Exception, match='no-such-package'):
        packages.get_installed_path('no-such-package')
