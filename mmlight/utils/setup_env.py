"""Registration of everything at once, for code that does not use the registries' lazy imports."""

import importlib
from importlib.util import find_spec

from mmengine import registry

HOSTS = ('mmdet', 'mmseg')


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import all of mmlight's modules and those of the host libraries that are installed; may be called repeatedly.

    Args:
        init_default_scope: make a host the default scope (mmdet, else mmseg), unless one of them is already. mmlight
            itself would not do: names without a scope in its configs are the host's.
    """
    for module in ('mmlight.models', 'mmlight.data', 'mmlight.runtime'):
        importlib.import_module(module)
    hosts = [host for host in HOSTS if find_spec(host) is not None]
    for host in hosts:
        importlib.import_module(f'{host}.utils').register_all_modules(init_default_scope=False)
    current = registry.DefaultScope.get_current_instance()
    if init_default_scope and hosts and (current is None or current.scope_name not in hosts):
        registry.init_default_scope(hosts[0])
