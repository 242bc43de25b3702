"""mmengine looks packages up through ``pkg_resources``, which setuptools 82 removed.

Without it ``_base_ = 'mmdet::...'``, ``read_base()`` of another package and ``hub.get_config`` fail. The replacements
ask ``importlib``. The forks (onedl-*) do so too, but look for ``mmsegmentation``, whose distribution has another name
there.
"""

from __future__ import annotations

import importlib.util
import os.path
from importlib import metadata
from types import ModuleType

from mmlight.compat.wall import NotNeededError, Wall, rebind


def is_installed(package: str) -> bool:
    """Whether ``package``, a distribution or an importable module, is there."""
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return _origin(_known_module(package)) is not None
    return True


def package2module(package: str) -> str:
    """The import name of distribution ``package``: the first of its top-level names that can be imported.

    Raises:
        ValueError: the distribution does not say.
        importlib.metadata.PackageNotFoundError: there is no such distribution.
    """
    try:
        distribution = metadata.distribution(package)
    except metadata.PackageNotFoundError:
        module = _known_module(package)
        if module == package or _origin(module) is None:
            raise
        return module
    names = (distribution.read_text('top_level.txt') or '').split()
    names += sorted({path.parts[0] for path in distribution.files or [] if path.name == '__init__.py'})
    for name in names:
        if _origin(name) is not None:
            return name
    raise ValueError(f'cannot infer the module name of {package}')


def get_installed_path(package: str) -> str:
    """The folder of the module that ``package``, a module or a distribution, provides.

    Raises:
        importlib.metadata.PackageNotFoundError: neither a module nor a distribution has this name.
    """
    origin = _origin(package) or _origin(package2module(package))
    return os.path.dirname(str(origin))


def _known_module(package: str) -> str:
    """The import name of a package of OpenMMLab, whatever distribution provides it; else ``package`` itself."""
    from mmengine.config.utils import MODULE2PACKAGE

    return next((module for module, known in MODULE2PACKAGE.items() if known == package), package)


def _origin(module: str) -> str | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return None if spec is None else spec.origin  # None for a namespace package: a mere folder of that name


def _works(module: ModuleType) -> bool:
    """Whether the installed functions work; without running pkg_resources, whose import alone takes a second."""
    if 'pkg_resources' in module.is_installed.__code__.co_names:
        return importlib.util.find_spec('pkg_resources') is not None
    try:  # some later versions return the folder above site-packages
        packages = ['mmengine', *(['mmsegmentation'] if importlib.util.find_spec('mmseg') else [])]
        return all(os.path.isfile(os.path.join(module.get_installed_path(name), '__init__.py')) for name in packages)
    except Exception:
        return False


def _look_up(module: ModuleType) -> str:
    if _works(module):
        raise NotNeededError('the installed look-up works')
    places = sum(
        rebind(getattr(module, function.__name__), function)
        for function in (is_installed, get_installed_path, package2module)
    )
    return f'packages are found by importlib ({places} places)'


def _register(module: ModuleType) -> str:
    module.MODULE2PACKAGE.setdefault('mmlight', 'mmlight')
    return "'mmlight::...' configs can be named"


def _own_scope(module: ModuleType) -> str:
    """mmengine marks every dict of another package's config with that package's scope. Ours name mmdet's and mmseg's
    classes, and are read under their scopes."""
    original = module.Config._get_cfg_path

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = original(cfg_path, filename)
        return path, None if scope == 'mmlight' else scope

    module.Config._get_cfg_path = staticmethod(get_cfg_path)
    return "_base_ = 'mmlight::...' finds mmdet's and mmseg's classes"


WALLS = (
    Wall('package-look-up', _look_up, target='mmengine.utils.package_utils'),
    Wall('package-name', _register, target='mmengine.config.utils'),
    Wall('package-scope', _own_scope, target='mmengine.config.config'),
)
