"""How the tools that compare networks are told which ones."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmlight.errors import InputError
from mmlight.measure.model_list import metafile_models
from mmlight.runtime.config import find_config

LIBRARIES = ('mmdet', 'mmseg')


def parse(contender: str) -> tuple[Path, tuple[int, int] | None]:
    """``CONFIG[@SIDE | @HEIGHTxWIDTH]`` -> path and (height, width).

    CONFIG is a path, the name of a shipped config, or ``mmdet::FOLDER/FILE`` or ``mmseg::FOLDER/FILE`` for one that
    these libraries ship.

    Raises:
        InputError: there is no such config, or the size is invalid.
    """
    name, at, size = contender.rpartition('@') if '@' in contender else (contender, '', '')
    if at and not re.fullmatch(r'[1-9]\d*(x[1-9]\d*)?', size):
        raise InputError(f'{contender}: size {size!r}; must be HEIGHTxWIDTH or one number, such as 320')
    library, colons, rest = name.partition('::')
    if colons and library in LIBRARIES:
        package: Any = importlib.import_module(library)
        name = str(Path(package.__file__).parent / '.mim' / 'configs' / rest)
    sides = [int(side) for side in size.split('x')] if at else []
    return find_config(name), (sides[0], sides[-1]) if sides else None


@dataclass(frozen=True)
class Result:
    """A value of a metric: the data set that it was measured on, where the figure stands, whether it is this project's
    own."""

    value: float
    dataset: str
    source: str
    own: bool = False


def results(config: Path, metric: str) -> list[Result]:
    """What the metafile beside a config, or one folder above, gives for a metric (``box AP``, ``mIoU``), in order.

    mmdet's and mmseg's metafiles give no source, and say COCO and Cityscapes for the validation images.
    """
    files = (folder / f'metafile{suffix}' for folder in config.parents[:2] for suffix in ('.yml', '.yaml'))
    metafile = next((file for file in files if file.is_file()), None)
    found: list[Result] = []
    if metafile is None:
        return found
    for model in metafile_models(metafile):
        if config.stem not in (model['Name'], Path(model.get('Config', '')).stem):
            continue
        entries = model.get('Results') or []
        for entry in [entries] if isinstance(entries, dict) else entries:
            value = (entry.get('Metrics') or {}).get(metric)
            if value is not None:
                source = entry.get('Source')
                own = str(source or '').lower().startswith('measured')
                found.append(Result(value, *_origin(str(entry['Dataset']), source, config, metafile), own))
    return found


def _origin(dataset: str, source: str | None, config: Path, metafile: Path) -> tuple[str, str]:
    if source is None and 'mmdet' in config.parts:
        from mmdet import __version__

        return dataset.replace('COCO', 'COCO val2017'), f'mmdet {__version__}, {config.parent.name}/metafile.yml'
    if source is None and 'mmseg' in config.parts:
        from mmseg import __version__

        return f'{dataset} val', f"mmseg {__version__}'s metafiles"
    return dataset, source or f'{config.parent.name}/{metafile.name}'
