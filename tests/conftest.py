"""Settings that must stand before any test module imports torch, mmdet or mmseg."""

import os

# Small networks are not quicker on more threads, and runs that are compared bit by bit need the same number of them.
os.environ['OMP_NUM_THREADS'] = '1'

from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec

import pytest

import mmlight  # noqa: F401  (installs the compatibility layer)


@pytest.fixture(scope='session')
def torchvision_models():
    """torchvision's classification networks."""
    from mmlight.analysis.effdet_reference import import_effdet
    from mmlight.errors import InputError

    if find_spec('torchvision') is None:
        pytest.skip('the package torchvision is not installed (pip install -e .[tests])')
    with suppress(InputError):  # declares the operators that a torchvision for another torch misses
        import_effdet()
    return import_module('torchvision.models')
