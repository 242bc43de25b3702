"""The shipped configs with their figures: those of the papers, those measured by this project, those counted now.

Read are ``model-index.yml`` (``Import``: paths of metafiles, relative to it) and from each metafile, in OpenMMLab's
form, ``Models[]`` with

==============================  =======================================================================================
``Name``                        the config's file name without ``.py``
``In Collection``               the family, as named under ``Collections``
``Metadata: Parameters``        parameters, a plain number
``Metadata: FLOPs``             multiply-adds of one image as the paper gives them (papers call them FLOPs), a number
``Results[]: Dataset, Metrics`` the data set and a mapping of metric to value, such as ``box AP: 19.2``
``Results[]: Source``           where these values come from; one that starts with ``measured`` is this project's own
                                result, every other and a missing one is a published result
``Weights``                     URL or path of a checkpoint, optional
==============================  =======================================================================================

A shipped config that no metafile names is listed without figures.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

import mmlight
from mmlight.errors import InputError

INDEX = Path(mmlight.__file__).parent / '.mim' / 'model-index.yml'
LOADER = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)  # both safe; libyaml's is several times as quick


@dataclass(frozen=True)
class Entry:
    """One shipped config.

    Attributes:
        name: what ``load_config`` takes.
        family: the collection that it belongs to, the folder's name if it is in no metafile.
        parameters, macs: the metafile's figures, None if it gives none; ``macs`` is the paper's.
        published, measured: data set -> metric -> value.
        weights: where a checkpoint is, None if there is none.
        counted: parameters, macs and shape as counted now; empty unless asked for.
    """

    name: str
    family: str
    parameters: float | None = None
    macs: float | None = None
    published: dict[str, dict[str, float]] = field(default_factory=dict)
    measured: dict[str, dict[str, float]] = field(default_factory=dict)
    weights: str | None = None
    counted: dict[str, Any] = field(default_factory=dict)


def list_models(
    pattern: str = '*', measure: bool = False, shape: tuple[int, int] | None = None, index: Path = INDEX
) -> list[Entry]:
    """The shipped configs whose name matches the glob ``pattern``, sorted by family and name.

    A pattern without wildcards matches the names that begin with it.

    Args:
        pattern: names to list.
        measure: count parameters and MACs of each, too.
        shape: height and width to count at; by default the size of the test pipeline.
        index: the file that names the metafiles.

    Raises:
        InputError: nothing matches, or a metafile cannot be read.
    """
    from mmlight.shipped import shipped_configs

    configs = shipped_configs()
    entries = {name: Entry(name, path.parent.name) for name, path in configs.items()}
    entries |= {entry.name: entry for entry in _read_index(index)}
    plain = not set(pattern) & set('*?[')
    found = [entry for entry in entries.values() if fnmatch(entry.name, f'{pattern}*' if plain else pattern)]
    if not found:
        raise InputError(f'pattern {pattern!r}: matches none of the {len(entries)} shipped configs')
    found.sort(key=lambda entry: (entry.family.lower(), entry.name))
    if not measure:
        return found
    counted = [_counted(entry, shape) for entry in found]
    if shape is not None and all('error' in entry.counted for entry in counted):
        raise InputError(str(counted[0].counted['error']))
    return counted


def table(entries: Sequence[Entry] | None = None) -> str:
    """Plain text, one row a config, without columns that are empty; default: all configs, nothing counted."""
    entries = list_models() if entries is None else entries
    counting = any(entry.counted for entry in entries)
    header = ['config', 'parameters', 'MACs (paper)', 'published', 'measured here']
    rows = [header + (['params (counted)', 'MACs (counted)', 'input'] if counting else [])]
    for entry in entries:
        row = [entry.name, _millions(entry.parameters), _millions(entry.macs)]
        row += [_metrics(entry.published), _metrics(entry.measured)]
        if counting:
            counted = entry.counted
            size = ' x '.join(map(str, counted['shape'])) if 'shape' in counted else ''
            row += [_millions(counted.get('parameters')), _millions(counted.get('macs')), size]
            row[-1] += counted.get('error', '')
        rows.append(row)
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]  # what nobody has takes no room
    rows = [list(row) for row in zip(*columns, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    rows.insert(1, ['-' * width for width in widths])
    return '\n'.join('  '.join(map(str.ljust, row, widths)).rstrip() for row in rows)


def to_json(entries: Sequence[Entry]) -> str:
    """The entries as a JSON list of objects."""
    return json.dumps([asdict(entry) for entry in entries], indent=2)


def _read_index(index: Path) -> list[Entry]:
    if not index.is_file():
        return []
    root = index.resolve().parent  # the link in an editable install leads to the repository
    files = [root / file for file in _yaml(index).get('Import') or ()]
    return [_entry(model, file) for file in files for model in metafile_models(file)]


def metafile_models(metafile: Path) -> list[dict]:
    """The entries under ``Models`` of a metafile of OpenMMLab's form, as they stand there.

    Raises:
        InputError: it cannot be read, or an entry has no name.
    """
    content = _yaml(metafile)
    models = content if isinstance(content, list) else content.get('Models') or []
    if not all(isinstance(model, dict) and 'Name' in model for model in models):
        raise InputError(f'{metafile}: every entry under `Models` needs a `Name`')
    return models


def _entry(model: dict, metafile: Path) -> Entry:
    results: dict[bool, dict[str, dict[str, float]]] = {False: {}, True: {}}
    for result in model.get('Results') or []:
        own = str(result.get('Source', '')).lower().startswith('measured')
        results[own].setdefault(str(result.get('Dataset', '')), {}).update(result.get('Metrics') or {})
    metadata = model.get('Metadata') or {}
    return Entry(
        name=model['Name'],
        family=str(model.get('In Collection', metafile.parent.name)),
        parameters=_number(metadata.get('Parameters'), 'Parameters', model, metafile),
        macs=_number(metadata.get('FLOPs'), 'FLOPs', model, metafile),
        published=results[False],
        measured=results[True],
        weights=model.get('Weights'),
    )


def _number(value: object, key: str, model: dict, metafile: Path) -> float | None:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise InputError(f'{metafile}: {model["Name"]}: `{key}` is {value!r}, must be a plain number')


def _yaml(path: Path) -> dict:
    try:
        text = path.read_text(encoding='utf-8')
        return yaml.load(text, LOADER) or {}  # nosec B506
    except OSError as error:
        raise InputError(f'{path}: cannot be read ({error.strerror})') from error
    except yaml.YAMLError as error:
        raise InputError(f'{path}: not valid YAML ({" ".join(str(error).split())})') from error


def _counted(entry: Entry, shape: tuple[int, int] | None) -> Entry:
    from mmlight.measure import complexity

    try:
        found = complexity.measure(entry.name, shape)
    except InputError as error:  # a config that cannot be counted must not hide the others
        return replace(entry, counted={'error': str(error)})
    return replace(
        entry, counted={'parameters': found.parameters, 'macs': found.macs, 'shape': list(found.shape)}
    )  # fmt: skip


def _millions(value: float | None) -> str:
    if value is None:
        return ''
    return f'{value / 1e9:,.4g} G' if value >= 1e9 else f'{value / 1e6:,.4g} M'


def _metrics(values: dict[str, dict[str, float]]) -> str:
    return '; '.join(
        f'{dataset}: {", ".join(f"{k} {v}" for k, v in found.items())}' for dataset, found in values.items()
    )
