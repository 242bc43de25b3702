"""Reading configs: by path or by the name of a shipped one, with errors that say what is wrong and where."""

import ast
import difflib
import importlib.util
import inspect
import os
import re
import traceback
from collections.abc import Iterator
from typing import Any

import mmengine.registry as registries
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope, Registry, init_default_scope
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings

from mmlight.errors import InputError
from mmlight.shipped import find_config, shipped_configs  # noqa: F401 (callers know them here)

# What `Config` may hold besides the arguments of `Runner`: read by the tools, hooks or the runner's `cfg.get`.
OTHER_KEYS = (
    'runner_type', 'tta_model', 'tta_pipeline', 'compile', 'activation_checkpointing', 'efficient_conv_bn_eval',
    'find_unused_parameters', 'detect_anomalous_params', 'model_wrapper_cfg', 'sync_bn', 'custom_imports',
    'data_check', 'data_preprocessor', 'backend_args', 'data_root', 'dataset_type', 'metainfo',
)  # fmt: skip
SECTIONS = (
    'model', 'data_preprocessor', 'train_dataloader', 'val_dataloader', 'test_dataloader', 'optim_wrapper',
    'param_scheduler', 'train_cfg', 'val_cfg', 'test_cfg', 'val_evaluator', 'test_evaluator', 'default_hooks',
    'custom_hooks', 'visualizer', 'log_processor', 'tta_model', 'tta_pipeline',
)  # fmt: skip


def load_config(name_or_path: str | os.PathLike, options: dict | None = None, needs_model: bool = True) -> Config:
    """Read a config and merge ``options`` (dotted key -> value, as in ``--cfg-options``) into it.

    Raises:
        InputError: the config is missing, unreadable or does not parse (path and line are named), an option's key does
            not fit, or a ``type`` is not registered.
    """
    path = find_config(name_or_path)
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'config {path}: cannot be read ({one_line(error)})') from error
    try:
        if path.suffix == '.py':
            ast.parse(text, str(path))  # mmengine's own report of a syntax error names a temporary file
        cfg = Config.fromfile(path)
    except SyntaxError as error:
        raise InputError(f'config {path}, line {error.lineno}: {error.msg}') from error
    except Exception as error:
        raise InputError(f'config {path}{_line_of(error)}: {type(error).__name__}: {one_line(error)}') from error
    if options:
        merge_options(cfg, options)
    if needs_model and 'model' not in cfg:
        raise InputError(f'config {path}: defines no `model`')
    check_types(cfg)
    return cfg


def merge_options(cfg: Config, options: dict) -> None:
    """Merge ``--cfg-options`` into ``cfg``; a key whose first part nobody reads is refused, as is a bad path."""
    known = set(cfg.keys()) | set(inspect.signature(Runner.__init__).parameters) | set(OTHER_KEYS)
    for key in options:
        head = key.split('.')[0]
        if head not in known:
            near = difflib.get_close_matches(head, known, n=3)
            hint = f'; did you mean {" or ".join(near)}?' if near else ''
            raise InputError(f'--cfg-options {key}: nothing reads `{head}`{hint}')
        try:
            cfg.merge_from_dict({key: options[key]})
        except (KeyError, TypeError, ValueError, IndexError, AssertionError, AttributeError) as error:
            raise InputError(f'--cfg-options {key}={options[key]!r}: cannot be merged ({one_line(error)})') from error
        if head == 'custom_imports':  # the file's own were imported when it was read
            try:
                import_modules_from_strings(**cfg.custom_imports)
            except (ImportError, TypeError, ValueError, AttributeError) as error:
                raise InputError(f'--cfg-options {key}={options[key]!r}: cannot be imported ({error})') from error


def check_types(cfg: Config) -> None:
    """Look every ``type`` of the config up in the registries, before anything is built.

    Raises:
        InputError: a name is not registered; nearest names and the place in the config are given.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    _import_scope(scope)
    init_default_scope(scope)
    for section in SECTIONS:
        for where, name, inner in _types(cfg.get(section), section, None):
            if not _is_registered(name, inner or scope):
                raise unknown_type(name, where)


def unknown_type(name: str, where: str) -> InputError:
    """The error for a ``type`` that no registry knows, with the nearest known names."""
    package = name.split('.')[0]
    if '.' in name and importlib.util.find_spec(package) is None:
        return InputError(f"config key {where}: type '{name}' needs the package {package}, which is not installed")
    known = _known_names()
    bare = name.split('.')[-1]
    near = [other for other in known if other.split('.')[-1].lower() == bare.lower()]  # wrong or no scope, wrong case
    near.sort(key=lambda other: '.' in other)
    near += difflib.get_close_matches(name, known, n=3)
    near += difflib.get_close_matches(bare, known, n=2)
    near = list(dict.fromkeys(other for other in near if other != name))[:3]
    hint = f'did you mean {" or ".join(near)}?' if near else 'is its module named in `custom_imports`?'
    return InputError(f"config key {where}: type '{name}' is not registered; {hint}")


def explain(error: Exception, cfg: Config, what: str = 'built') -> InputError:
    """What to tell the user when ``cfg`` could not be ``'built'`` or ``'run'`` because of ``error``."""
    unknown = re.search(r"['\"]?([\w.]+) is not in the \S+ registry", str(error))
    if unknown is None:
        text = f'{type(error).__name__}: {one_line(error)}'
        if 'Original Traceback' in str(error):  # a data worker's; its last line is the error
            text = str(error).strip().splitlines()[-1]
        elif not str(error):  # a bare assertion says what it is about, and where it stands
            last = traceback.extract_tb(error.__traceback__)[-1]
            text = f'{type(error).__name__} in {os.path.basename(last.filename)}, line {last.lineno}: {last.line}'
        return InputError(f'config {cfg.filename}: cannot be {what}: {text}')
    places = [key for key, value in leaves(cfg.to_dict()) if value == unknown[1] and key.endswith('.type')]
    return unknown_type(unknown[1], places[0] if places else 'type')


def leaves(node: object, where: str = '') -> Iterator[tuple[str, object]]:
    """(dotted key, value) of everything in a nested config that is neither dict nor list."""
    if isinstance(node, (dict, list, tuple)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from leaves(value, f'{where}.{key}' if where else str(key))
    else:
        yield where, node


def one_line(error: BaseException, limit: int = 200) -> str:
    """The message of an exception, white space folded, shortened to ``limit`` characters."""
    text = ' '.join(str(error.args[0] if isinstance(error, KeyError) and error.args else error).split())
    return text if len(text) <= limit else text[: limit - 1] + '…'


def _line_of(error: BaseException) -> str:
    """``, line N`` (with the file, if a base) for an error raised while a Python config was executed."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if f.name == '<module>' and f.filename.endswith('.py')
    ]
    return f', line {frames[-1].lineno} of {os.path.basename(frames[-1].filename)}' if frames else ''


def _types(node: object, where: str, scope: str | None) -> Iterator[tuple[str, str, str | None]]:
    """(config key path, ``type`` string, scope set by an enclosing ``_scope_``) of every typed dict below ``node``.

    Left out: lower-case names (``nms``, ``conv``), which mostly are keywords of the class that reads them, and what
    names operators of mmcv (``roi_layer``), transforms of albumentations, or a search space.
    """
    if isinstance(node, dict):
        scope = node.get('_scope_', scope)
        name = node.get('type')
        if isinstance(name, str) and not (name[:1].islower() and '.' not in name):
            yield f'{where}.type', name, scope
            if name.split('.')[-1] == 'Albu':
                return
        for key, value in node.items():
            if key not in ('roi_layer', 'metainfo', 'space'):
                yield from _types(value, f'{where}.{key}', scope)
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from _types(value, f'{where}.{index}', scope)


def _root_registries() -> list[Registry]:
    return [value for value in vars(registries).values() if isinstance(value, Registry)]


def _is_registered(name: str, scope: str) -> bool:
    """Whether any kind of registry has ``name`` under ``scope``.

    The kind that a key wants is known only to the class that reads it, so a hook named where a layer belongs passes
    here and fails when it is built.
    """
    for root in _root_registries():
        try:
            if root.children.get(scope, root).get(name) is not None:
                return True
        except RuntimeError:  # "Failed to get ...": mmengine's answer for a dotted name that cannot be imported
            continue
    return False


def _known_names() -> list[str]:
    """Every registered name: bare for the default scope and mmengine's own, else with its scope."""
    for module in ('mmlight.models', 'mmlight.data', 'mmlight.runtime'):
        importlib.import_module(module)
    current = DefaultScope.get_current_instance()
    scope = current.scope_name if current else 'mmengine'
    names: list[str] = []
    for root in _root_registries():
        for registry in [root, *root.children.values()]:
            prefix = '' if registry.scope in ('mmengine', scope) else f'{registry.scope}.'
            names += [prefix + name for name in registry.module_dict]
    return list(dict.fromkeys(names))


def _import_scope(scope: str) -> None:
    """Import ``<scope>.registry``, which adds the scope's nodes to mmengine's registries."""
    if scope == 'mmengine':
        return
    try:
        importlib.import_module(f'{scope}.registry')
    except ModuleNotFoundError as error:
        package = {'mmseg': 'mmsegmentation'}.get(scope, scope)
        raise InputError(f"config key default_scope: '{scope}' needs `pip install {package}` ({error})") from error


def innermost(dataset: Any) -> Any:
    """The data set inside wrappers such as RepeatDataset or ConcatDataset."""
    while 'dataset' in dataset or 'datasets' in dataset:
        dataset = dataset['dataset'] if 'dataset' in dataset else dataset['datasets'][0]
    return dataset


def is_segmentation(cfg: Config) -> bool:
    """Whether names without a scope are mmseg's."""
    return cfg.get('default_scope') == 'mmseg'


def test_dataset(cfg: Config) -> ConfigDict:
    """The test data set inside wrappers such as RepeatDataset."""
    return innermost(cfg.test_dataloader.dataset)
