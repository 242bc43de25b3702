"""Settings that must stand before any test module imports torch, mmdet or mmseg."""

import os

# Small networks are not quicker on more threads, and runs that are compared bit by bit need the same number of them.
os.environ['OMP_NUM_THREADS'] = '1'

import random
import subprocess
import sys
import sysconfig
import venv
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

import mmlight  # noqa: F401  (installs the compatibility layer)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Each test, with the fixtures that are made at its start, begins with the same seed."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    for logger in MMLogger._instance_dict.values():  # those of a test whose output was captured write to what it closed
        for handler in logger.handlers:
            if getattr(getattr(handler, 'stream', None), 'closed', False):
                handler.stream = sys.stdout


@pytest.fixture(scope='session')
def need():
    """need(package) skips the test where a package of the extra `tests` is missing; where tools/run_tests.sh
    installed them, it fails the test."""

    def check(package: str) -> None:
        if find_spec(package) is None:
            stop = pytest.fail if 'MMLIGHT_TESTS_EXTRA' in os.environ else pytest.skip
            stop(f'the package {package} is not installed (pip install -e .[tests])')

    return check


@pytest.fixture(scope='session')
def effdet(need):
    """The package effdet."""
    from benchmarks.effdet_reference import import_effdet

    need('effdet')
    return import_effdet()


@pytest.fixture(scope='session')
def torchvision_models(need):
    """torchvision's classification networks."""
    from benchmarks.effdet_reference import import_effdet
    from mmlight.errors import InputError

    need('torchvision')
    with suppress(InputError):  # declares the operators that a torchvision for another torch misses
        import_effdet()
    return import_module('torchvision.models')


@pytest.fixture(scope='session')
def installed(tmp_path_factory) -> dict[str, str]:
    """For processes: variables of a new environment with the wheel; what that requires is read from the tested one."""
    folder = tmp_path_factory.mktemp('environment')
    source = folder / 'source'
    subprocess.run(['git', 'clone', '-q', Path(__file__).resolve().parents[1], source], check=True)
    code = f'from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})'
    subprocess.run([sys.executable, '-c', code], cwd=source, check=True, capture_output=True)
    venv.create(folder / 'env', with_pip=True)
    python = folder / 'env' / 'bin' / 'python'
    env = {**os.environ, 'PATH': f'{python.parent}:{os.environ["PATH"]}', 'MPLBACKEND': 'Agg', 'OMP_NUM_THREADS': '1'}
    env.pop('PYTHONPATH', None)  # pip would take the checkout there for the installed package
    subprocess.run([python, '-m', 'pip', 'install', '-q', '--no-deps', *folder.glob('*.whl')], check=True, env=env)
    where = [python, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))']
    site = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
    (site / 'zz_stack.pth').write_text(sysconfig.get_path('purelib'))
    return env
