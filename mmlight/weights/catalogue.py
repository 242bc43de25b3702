"""The catalogue of published weights, ``catalogue.yml``: whose they are, and what they fit."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import yaml

from mmlight.errors import InputError


@dataclass(frozen=True)
class Published:
    """One published file; the fields are explained at the head of ``catalogue.yml``."""

    name: str
    url: str
    project: str
    licence: str
    format: str
    data: str
    metric: str
    source: str
    use: str
    checked: str
    sha256: str = ''  # none is public
    size: int | str | None = None
    converter: str | None = None
    arguments: Mapping[str, object] = field(default_factory=dict)
    configs: tuple[str, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    reason: str | None = None

    def credit(self) -> str:
        """One line: whose weights these are, under which licence, and their published figure."""
        return f'{self.name}: {self.project}, {self.licence}; trained on {self.data}; {self.metric} ({self.source})'


@cache
def catalogue() -> dict[str, Published]:
    """Name -> entry, in the order of the file."""
    found = {}
    for group in yaml.safe_load(Path(__file__).with_suffix('.yml').read_text(encoding='utf-8')):
        common = {key: value for key, value in group.items() if key not in ('base', 'files')}
        for name, own in group['files'].items():
            fields = common | own
            url = group['base'] + fields.pop('file')
            fields['configs'] = tuple(fields.get('configs', ()))
            found[name] = Published(name=name, url=url, **{**fields, 'sha256': str(fields.get('sha256', ''))})
    return found


def find(name: str) -> Published:
    """The entry of this name.

    Raises:
        InputError: there is none (the nearest names are given).
    """
    if name not in catalogue():
        near = difflib.get_close_matches(name, catalogue(), n=3, cutoff=0.5)
        hint = f'did you mean {" or ".join(near)}?' if near else '`mmlight weights list` shows all'
        raise InputError(f'weights {name}: not in the catalogue; {hint}')
    return catalogue()[name]


def for_config(name: str) -> Published | None:
    """The entry with weights for all of the config of this name, if there is one."""
    entries = (entry for entry in catalogue().values() if entry.use == 'model')
    return next((entry for entry in entries if any(fnmatchcase(name, pattern) for pattern in entry.configs)), None)


@cache
def unpublished() -> list[dict]:
    """The rows of ``from_scratch.yml``."""
    return yaml.safe_load(Path(__file__).with_name('from_scratch.yml').read_text(encoding='utf-8'))


def from_scratch(name: str) -> str | None:
    """Why the config of this name begins with random weights; None if it does not, or is of another data set."""
    fits = (row for row in unpublished() if any(fnmatchcase(name, pattern) for pattern in row['configs']))
    return next((row['reason'] for row in fits), None)


def table(pattern: str = '*') -> str:
    """A line for each entry whose name fits: name, figure, licence, and what it is for."""
    rows = [entry for entry in catalogue().values() if fnmatchcase(entry.name, pattern)]
    if not rows:
        raise InputError(f'weights {pattern}: fits no name of the catalogue; `mmlight weights list` shows all')
    width, figure = max(len(row.name) for row in rows), max(len(row.metric) for row in rows)
    return '\n'.join(
        f'{row.name:{width}}  {row.metric:{figure}}  {row.use:8}  {row.licence.split(" ")[0]:12}  '
        + (row.reason or row.url)
        for row in rows
    )
