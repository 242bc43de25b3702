"""How the tools that compare networks are told which ones."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from mmlight.engine.config import find_config
from mmlight.errors import InputError

LIBRARIES = ('mmdet', 'mmseg')


def parse(contender: str) -> tuple[Path, tuple[int, int] | None]:
    """``CONFIG[@SIDE | @HEIGHTxWIDTH]`` -> path and (height, width).

    CONFIG is a path, the name of a shipped config, or ``mmdet::FOLDER/FILE`` or ``mmseg::FOLDER/FILE`` for one that
    these libraries ship.

    Raises:
        InputError: there is no such config, or the size is none.
    """
    name, at, size = contender.rpartition('@') if '@' in contender else (contender, '', '')
    if at and not re.fullmatch(r'[1-9]\d*(x[1-9]\d*)?', size):
        raise InputError(f'{contender}: size {size!r}; must be HEIGHTxWIDTH or one number, such as 320')
    library, colons, rest = name.partition('::')
    if colons and library in LIBRARIES:
        package = importlib.import_module(library)
        name = Path(package.__file__).parent / '.mim' / 'configs' / rest
    sides = [int(side) for side in size.split('x')] if at else []
    return find_config(name), (sides[0], sides[-1]) if sides else None
