"""The trial log of a search: append-only JSON lines, the one record of what was evaluated."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from mmlight.errors import InputError
from mmlight.runtime.checkpoint import AtomicBackend


class TrialLog:
    """Events, one JSON object a line, on disk before :meth:`append` returns.

    A kill can tear the last line, which then does not count. What the first line, the header, says must not change.

    Args:
        path: The file.
        header: What identifies the search: space, sampler, seed, ...; the file is made if it is not there, and a torn
            line cut off. None only reads, whatever the search; it may be running.

    Raises:
        InputError: for a log with another header, saying what differs, and for one torn elsewhere than at its end.
    """

    def __init__(self, path: str | os.PathLike, header: Mapping | None = None):
        self.path = Path(path)
        content = self.path.read_bytes() if self.path.exists() else b''
        whole = content[: content.rfind(b'\n') + 1]
        self.events = self._parse(whole)
        if header is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if len(whole) < len(content):
            os.truncate(self.path, len(whole))
        if not self.events:
            self.append({'event': 'search', **header})
        self._check(header)

    def _parse(self, whole: bytes) -> list[dict]:
        events = []
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                events.append(json.loads(line))
            except ValueError:
                raise InputError(f'trial log {self.path}, line {number}: no JSON: {line[:60]!r}') from None
        return events

    def _check(self, header: Mapping) -> None:
        known = {key: value for key, value in self.events[0].items() if key != 'event'}
        wanted = json.loads(json.dumps(header))
        for key in {**known, **wanted}:
            if known.get(key) != wanted.get(key):
                raise InputError(
                    f'--resume: the search in {self.path.parent} has {key} {known.get(key)!r}, the config has '
                    f'{wanted.get(key)!r}; resume with the same, or use another folder'
                )

    def append(self, *events: Mapping) -> None:
        """Add events."""
        lines = [json.dumps(event) + '\n' for event in events]
        with open(self.path, 'a', encoding='utf-8') as file:
            file.write(''.join(lines))
            file.flush()
            os.fsync(file.fileno())
        self.events += map(json.loads, lines)

    def cut(self, length: int) -> list[dict]:
        """Take back all but the first ``length`` events.

        Returns:
            Those that were taken back.
        """
        cut, self.events = self.events[length:], self.events[:length]
        AtomicBackend().put(''.join(json.dumps(event) + '\n' for event in self.events).encode(), self.path)
        return cut

    def of(self, event: str) -> list[dict]:
        """All events of a kind: ``'issued'``, ``'done'``, ``'failed'``, ``'dropped'``, ``'generation'``."""
        return [entry for entry in self.events if entry['event'] == event]
