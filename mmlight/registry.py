"""The ``mmlight`` scope: children of mmengine's root registries.

Configs keep ``default_scope='mmdet'`` or ``'mmseg'`` and write ``type='mmlight.X'``; the modules named under
``locations`` are imported on the first look-up, so nothing heavy is loaded before it is used.
"""

from importlib.util import find_spec
from typing import Any

from mmengine import registry as root

from mmlight.errors import InputError


def _child(parent: root.Registry, *locations: str) -> root.Registry:
    return root.Registry(parent.name, parent=parent, scope='mmlight', locations=list(locations))


def _own(name: str, *locations: str) -> root.Registry:
    return root.Registry(name, scope='mmlight', locations=list(locations))


MODELS = _child(root.MODELS, 'mmlight.models')
TASK_UTILS = _child(root.TASK_UTILS, 'mmlight.models')
WEIGHT_INITIALIZERS = _child(root.WEIGHT_INITIALIZERS, 'mmlight.layers.xception')
DATASETS = _child(root.DATASETS, *(['mmlight.data.camvid', 'mmlight.data.mask_pairs'] if find_spec('mmseg') else []))
TRANSFORMS = _child(root.TRANSFORMS, 'mmlight.data')
OPTIM_WRAPPER_CONSTRUCTORS = _child(root.OPTIM_WRAPPER_CONSTRUCTORS, 'mmlight.runtime.optimizer')
HOOKS = _child(root.HOOKS, 'mmlight.runtime', 'mmlight.nas.one_shot', 'mmlight.deploy.deploy')
LOOPS = _child(root.LOOPS, 'mmlight.nas.one_shot')
METRICS = _child(root.METRICS, *(['mmlight.nas.one_shot.coco_metric'] if find_spec('mmdet') else []))

GRAPHS = _own('graph', 'mmlight.tables')
"""Functions ``(low, high, merge=...)`` that make a :class:`~mmlight.tables.FeatureGraph`, by the name of the graph."""
MERGES = _own('merge', 'mmlight.layers.merges')
"""Classes like :class:`mmlight.layers.Merge`, by the name that a node's ``merge`` has."""
BLOCKS = _own('block', 'mmlight.layers.fusion_cell')
"""What follows a merge in a neck, ``(channels, separable, bias, norm_cfg, act_cfg)``, by the name of a node's block."""
WEIGHTS = _own('family of weights', 'mmlight.tables.weight_layouts')
"""Functions that give the :class:`~mmlight.tables.weight_layouts.Layout` of each foreign file of a backbone."""
SPACES = _own('space', 'mmlight.nas.spaces')
SAMPLERS = _own('sampler', 'mmlight.nas.samplers')
OBJECTIVES = _own('objective', 'mmlight.nas.objectives', 'mmlight.nas.supernet')

Mixin: Any = object
"""Base of mix-ins for classes of OpenMMLab: these have no types, so what a mix-in calls on them has none either."""


def registered(registry: root.Registry, name: object, where: str) -> Any:
    """What a registry holds under a name.

    Raises:
        InputError: saying ``where``, for a name that it does not hold.
    """
    found = registry.get(name) if name and isinstance(name, str) else None
    if found is None:
        registry.import_from_location()
        raise InputError(f'{where}: unknown {registry.name} {name!r}, known are {", ".join(registry.module_dict)}')
    return found
