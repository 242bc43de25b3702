"""Which file a config's name means; imports nothing heavy, so that a wrong name is answered at once."""

import difflib
import os
from pathlib import Path

import mmlight
from mmlight.errors import InputError
from mmlight.weights.catalogue import for_config

SUFFIXES = ('.py', '.json', '.yaml', '.yml')


def shipped_configs() -> dict[str, Path]:
    """Name (file stem) -> path of every config that comes with the package, ``_base_`` left out."""
    folder = Path(mmlight.__file__).parent / '.mim' / 'configs'
    # rglob does not follow a link given as its root on every Python version
    files = sorted(folder.resolve().rglob('*.py')) if folder.exists() else []
    return {file.stem: file for file in files if '_base_' not in file.parts}


def find_config(name_or_path: str | os.PathLike) -> Path:
    """The file that ``name_or_path`` means: an existing path first, then the name of a shipped config.

    Raises:
        InputError: there is no such file or name, or it is not a config file.
    """
    path = Path(name_or_path)
    if len(os.fsencode(path.name)) > 255:
        raise InputError(f'config {path.name[:60]}…: a name of {len(path.name)} characters, at most 255 are allowed')
    if path.is_file():
        if path.suffix not in SUFFIXES:
            raise InputError(f'config {path}: {path.suffix or "no"} suffix, allowed are {", ".join(SUFFIXES)}')
        return path
    if path.is_dir():
        raise InputError(f'config {path}: is a folder, not a config file')
    shipped = shipped_configs()
    name = path.name.removesuffix('.py')  # not the stem: names have dots, as in x0.5
    if path.parent == Path('.'):
        # `efficientdet_d0` is short for the config of the published weights of that name
        short = [file for stem, file in shipped.items() if (entry := for_config(stem)) and entry.name == name]
        if name in shipped or short:
            return shipped.get(name) or short[0]
    siblings = [p.name for p in path.parent.glob('*') if p.suffix in SUFFIXES] if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, siblings, n=2) + difflib.get_close_matches(path.stem, shipped, n=3)
    hint = f'; did you mean {" or ".join(dict.fromkeys(near))}?' if near else '; `mmlight list` shows the shipped ones'
    raise InputError(f'config {name_or_path}: neither a file nor the name of a shipped config{hint}')
