"""Module names of before version 0.2, for configs and scripts that import them."""

import importlib
import importlib.abc
import importlib.util
import os
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    'mmlight.analysis': 'mmlight.measure',
    'mmlight.datasets': 'mmlight.data',
    'mmlight.deployment': 'mmlight.deploy',
    'mmlight.engine': 'mmlight.runtime',
    'mmlight.engine.prediction': 'mmlight.runtime.predict',
    'mmlight.engine.training': 'mmlight.runtime.train',
    'mmlight.graphs': 'mmlight.tables',
    'mmlight.models.layers': 'mmlight.layers',
}


def new_name(name: str) -> str | None:
    """Where a module is today, or None where it has not moved."""
    old = next((old for old in sorted(MOVED, reverse=True) if name == old or name.startswith(old + '.')), None)
    return None if old is None else MOVED[old] + name[len(old) :]


class MovedFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the module of today under the old name."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        new = new_name(name) if name.startswith('mmlight.') else None
        if new is None or importlib.util.find_spec(new) is None:
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = new_name(spec.name) or spec.name
        warnings.warn(f'{spec.name} is {new} now', DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        self.kept = module.__spec__, module.__loader__, module.__package__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__, module.__loader__, module.__package__ = self.kept


def install() -> None:
    """Have the old names found; called when mmlight is imported."""
    off = os.environ.get('MMLIGHT_NO_COMPAT', '') not in ('', '0')
    if not off and not any(isinstance(finder, MovedFinder) for finder in sys.meta_path):
        # first: the folders of before stay behind in a checkout, with nothing but caches in them
        sys.meta_path.insert(0, MovedFinder())
