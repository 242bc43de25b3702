"""Files of the catalogue: fetched once, checked, converted once, and kept in torch's cache."""

import hashlib
import http.client
import io
import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from mmlight.compat import checkpoint
from mmlight.errors import InputError
from mmlight.files import put
from mmlight.layers import foreign_weights
from mmlight.tables.allocations import PUBLISHED
from mmlight.weights import efficientdet, efficientnet_lite, scr, tensorflow
from mmlight.weights.catalogue import Published, find

CHUNK = 1 << 18
PATIENCE = 30
"""Seconds without an answer or a byte after which a download is given up."""


def _effdet(state: dict[str, Tensor], model: str) -> dict[str, Tensor]:
    return efficientdet.convert(state, model)[0]


def _lite(state: dict[str, Tensor], **_: object) -> dict[str, Tensor]:
    return efficientnet_lite.convert(state)[0]


def _scr(state: dict[str, Tensor], allocation: str) -> dict[str, Tensor]:
    return scr.fill(state, PUBLISHED[allocation].stage_blocks)


def _layout(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return foreign_weights.convert(state)[0]


CONVERTERS: dict[str, Callable[..., dict[str, Tensor]]] = {
    'effdet': _effdet,
    'efficientnet_lite': _lite,
    'layout': _layout,  # those of tables/weight_layouts.py
    'scr': _scr,
}


def cache_dir() -> Path:
    """``$TORCH_HOME/hub/checkpoints``, where mmengine and torch look for the same files."""
    return Path(torch.hub.get_dir()) / 'checkpoints'


def get(name: str, source: str | os.PathLike | None = None) -> Path:
    """The file with the weights of an entry, ready for a config: downloaded and converted if they are not yet.

    Args:
        name: in the catalogue.
        source: the publisher's file, brought by other means; it is copied into the cache.

    Raises:
        InputError: an unknown name, weights that cannot be used, a file whose checksum or names do not fit, no
            network, no room.
    """
    entry = find(name)
    if entry.use == 'none':
        raise InputError(f'weights {name}: cannot be used: {entry.reason}')
    original = cache_dir() / entry.url.rsplit('/', 1)[1]
    if entry.use == 'package' and source is None and not original.is_file():
        source = _installed(entry)
    if entry.use == 'package' and source is None and not original.is_file():
        raise InputError(f'weights {name}: {entry.reason}, then `mmlight weights get {name} --from FILE`')
    try:
        original.parent.mkdir(parents=True, exist_ok=True)
        if source is not None:
            _take(entry, Path(source), original)
        elif not original.is_file():
            download(entry, original)
    except OSError as error:
        raise InputError(f'weights {name}: cannot be kept in {original.parent} ({error.strerror or error})') from error
    if entry.converter is None:
        return original
    converted = original.with_name(f'{original.stem}.{name}.mmlight.pth')  # a file may serve several entries
    if not converted.is_file() or converted.stat().st_mtime < original.stat().st_mtime:
        _convert(entry, original, converted)
    return converted


def _installed(entry: Published) -> Path | None:
    """The file in the Python package that it comes in, where that is installed."""
    package, file = entry.url.split('/')[-2:]
    found = find_spec(package)
    return Path(found.origin).parent / 'models' / file if found and found.origin else None


def download(entry: Published, target: Path) -> None:
    """Fetch the file to ``target``, which appears only when it is complete and its checksum is right."""
    manual = f'fetch it by other means, then `mmlight weights get {entry.name} --from FILE`'
    fetch(entry.url, target, f'weights {entry.name}', manual, lambda part: _check(entry, part))


def fetch(url: str, target: Path, name: str, manual: str, check: Callable[[Path], None] = lambda part: None) -> None:
    """Fetch a file to ``target``, which appears only when it is complete and passes ``check``.

    What a cut connection leaves stands beside it as ``*.part`` and is continued the next time. A proxy is taken from
    ``HTTPS_PROXY`` and its like.

    Args:
        url: of the file.
        target: in a folder that exists.
        name: what messages begin with.
        manual: the way round, which they end with.
        check: raises ``InputError`` for another file than is wanted, which goes.

    Raises:
        InputError: no network, an answer that is none, silence of :data:`PATIENCE` seconds, no room.
    """
    part = target.with_name(target.name + '.part')
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={'Range': f'bytes={have}-'} if have else {})
    try:
        # a new opener each time: the shared one keeps the proxies of its first use
        with urllib.request.build_opener().open(request, timeout=PATIENCE) as answer:
            resumed = answer.status == 206
            total = int(answer.headers.get('Content-Length') or 0) + (have if resumed else 0)
            _receive(answer, part, 'ab' if resumed else 'wb', total, name)
        if total and part.stat().st_size != total:
            raise http.client.IncompleteRead(b'', total - part.stat().st_size)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing is left to fetch, or the file on the server is another one
            part.unlink(missing_ok=True)
            raise InputError(f'{name}: {url} is shorter than what was kept; try again') from error
        raise InputError(f'{name}: {url} answers {error.code} {error.reason}; {manual}') from error
    except urllib.error.URLError as error:
        raise InputError(f'{name}: {url} cannot be reached ({error.reason}); {manual}') from error
    except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
        kept = part.stat().st_size if part.is_file() else 0
        raise InputError(f'{name}: {url} broke off, {kept} bytes are kept for the next try; {manual}') from error
    try:
        check(part)
    except InputError:
        part.unlink()
        raise
    os.replace(part, target)


def _receive(answer: http.client.HTTPResponse, part: Path, mode: str, total: int, name: str) -> None:
    free = shutil.disk_usage(part.parent).free
    if total and free < total:
        raise InputError(f'{name}: {total} bytes, but {part.parent} has room for {free}')
    shown = -1
    with open(part, mode) as file:
        while chunk := answer.read1(CHUNK):  # what came before a stall is kept
            file.write(chunk)
            percent = 100 * file.tell() // total if total else -1
            if percent != shown and sys.stderr.isatty():
                print(f'\r{name}: {percent} % of {total / 1e6:.1f} MB', end='', file=sys.stderr)
                shown = percent
    if shown >= 0:
        print(file=sys.stderr)


def _take(entry: Published, source: Path, target: Path) -> None:
    if not source.is_file():
        raise InputError(f'--from {source}: no such file')
    _check(entry, source)
    part = target.with_name(f'{target.name}.{os.getpid()}.copy')
    try:
        shutil.copyfile(source, part)
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _check(entry: Published, file: Path) -> None:
    digest = hashlib.sha256()
    with open(file, 'rb') as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    found = digest.hexdigest()
    if not found.startswith(entry.sha256):
        raise InputError(
            f'weights {entry.name}: {file} has SHA-256 {found[:16]}…, the published file {entry.sha256[:16]}…; '
            'it is damaged or another file, and not used'
        )


def read(file: Path) -> dict[str, Tensor]:
    """The tensors of a publisher's file: a checkpoint, a bare state dict, or Keras' ``.h5``.

    Raises:
        InputError: it cannot be read.
    """
    if file.suffix == '.h5':
        return tensorflow.as_state_dict(tensorflow.read_h5(file))
    content = checkpoint.load(file)
    found = (content[key] for key in ('state_dict', 'model') if isinstance(content.get(key), dict))
    return {name: x for name, x in next(found, content).items() if isinstance(x, Tensor)}


def _convert(entry: Published, original: Path, target: Path) -> None:
    try:
        state = read(original)
        weights = CONVERTERS[str(entry.converter)](state, **entry.arguments)
    except InputError as error:
        if not entry.sha256:  # it may be a page of the network's, not the file: the next try fetches it again
            original.unlink()
        raise InputError(f'weights {entry.name}: {original}: {error}') from None
    keys = ('name', 'url', 'project', 'licence', 'data', 'metric', 'source', 'sha256', 'converter')
    meta = {'published': {key: getattr(entry, key) for key in keys} | {'arguments': dict(entry.arguments)}}
    content = io.BytesIO()
    torch.save({'state_dict': {name: x.detach().clone() for name, x in weights.items()}, 'meta': meta}, content)
    try:
        put(content.getbuffer(), target)
    except OSError as error:
        raise InputError(f'weights {entry.name}: {target} cannot be written ({error.strerror})') from error
