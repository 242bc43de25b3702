"""Images of one name from several folders keep their results apart."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmlight.registry import HOOKS
from mmlight.runtime.sources import LONGEST_NAME


class Names:
    """File names for pictures: images of one name from several folders get a number."""

    def __init__(self) -> None:
        self.taken: dict[str, int] = {}

    def stem(self, first: str) -> str:
        """``first``, with a number where it was given before."""
        stem, number = first, self.taken.get(first, 0)
        while stem in self.taken:
            number += 1
            stem = f'{first}_{number}'
        self.taken[first] = number
        self.taken.setdefault(stem, 0)
        return stem

    def free(self, file: Path) -> str:
        """The name of the picture of ``file``."""
        suffix = file.suffix if file.suffix.lower() in ('.jpg', '.jpeg', '.png') else '.png'
        return self.stem(os.fsencode(file.stem)[: LONGEST_NAME - 25].decode(errors='ignore')) + suffix  # 25: number


@HOOKS.register_module()
class UniqueNames(Hook):
    """Gives the second and every further test image of a name a name of its own.

    mmdet and mmseg name label images and pictures by the base name of the image, so that ``a/x.jpg`` and ``b/x.jpg``
    overwrite one another. The sample's ``img_path`` becomes a link ``x_1.jpg`` to the image, in a temporary folder.
    """

    priority = 'VERY_HIGH'

    def before_test(self, runner: Runner) -> None:
        self.names, self.given = Names(), dict[str, str]()
        self.folder = tempfile.TemporaryDirectory(prefix='mmlight-names-')

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        for sample in _samples((data_batch or {}).get('data_samples')):
            path = sample.metainfo.get('img_path')
            if path is not None:
                sample.set_metainfo({'img_path': self._name(str(path))})

    def _name(self, path: str) -> str:
        stem, suffix = os.path.splitext(os.path.basename(path))
        if path not in self.given:
            self.given[path] = self.names.stem(stem)
        if self.given[path] == stem:
            return path
        link = Path(self.folder.name) / f'{self.given[path]}{suffix}'
        if not link.exists():
            link.symlink_to(os.path.abspath(path))
        return str(link)

    def after_test(self, runner: Runner) -> None:
        self.folder.cleanup()


def _samples(node: object) -> Iterator:
    """The data samples of a batch; those of test-time augmentation are lists in a list."""
    if isinstance(node, (list, tuple)):
        for one in node:
            yield from _samples(one)
    elif node is not None:
        yield node
