"""Progress bars: one on the terminal while training, validating and testing, and a plain one for loops over files."""

import sys
from collections.abc import Iterable, Iterator
from logging import StreamHandler
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, Runner
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mmlight.registry import HOOKS


def make_progress(force: bool = False) -> Progress | None:
    """A bar on standard error, or None where nobody would see it (no terminal, not the main process)."""
    if not (force or sys.stderr.isatty()) or not is_main_process():
        return None
    return Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn('{task.fields[note]}'),
        console=Console(stderr=True, force_terminal=force or None),
        transient=True,
    )


def track(items: Iterable, description: str, total: int | None) -> Iterator:
    """Go through ``items`` under a progress bar."""
    progress = make_progress()
    if progress is None:
        yield from items
        return
    with progress:
        task = progress.add_task(description, total=total, note='')
        for item in items:
            yield item
            progress.advance(task)


@HOOKS.register_module()
class ProgressBar(Hook):
    """Shows epoch, step, loss and time left on the terminal; log lines scroll above it, log files know nothing of it.

    Args:
        force: draw even if standard error is not a terminal.
    """

    priority = 'LOWEST'

    def __init__(self, force: bool = False) -> None:
        self.force = force
        self.progress: Progress | None = None
        self.tasks: dict[str, Any] = {}
        self.streams: list[tuple[StreamHandler, object]] = []

    def before_run(self, runner: Runner) -> None:
        self.progress = make_progress(self.force)
        if self.progress is None:
            return
        self.progress.start()  # from here on sys.stdout and sys.stderr print above the bar
        for handler in runner.logger.handlers:
            if type(handler) is StreamHandler:
                self.streams.append((handler, handler.setStream(sys.stdout)))

    def after_run(self, runner: Runner) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar and give the terminal back; also to be called when training ends with an error."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None
        while self.streams:
            handler, stream = self.streams.pop()
            handler.setStream(stream)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        if self.progress is not None and 'train' not in self.tasks:
            self._start('train', runner.max_iters, completed=runner.iter)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: dict | None = None):
        if self.progress is None:
            return
        loss = (outputs or {}).get('loss')
        by_epoch = isinstance(runner.train_loop, EpochBasedTrainLoop)
        where = f'epoch {runner.epoch + 1}/{runner.max_epochs}' if by_epoch else ''
        note = f'{where}  loss {loss.item():.4f}' if loss is not None else where
        self.progress.update(self.tasks['train'], completed=runner.iter + 1, note=note)

    def before_val_epoch(self, runner: Runner) -> None:
        self._start('val', len(runner.val_dataloader))

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None) -> None:
        self._advance('val')

    def after_val_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._end('val')

    def before_test_epoch(self, runner: Runner) -> None:
        self._start('test', len(runner.test_dataloader))

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: object = None
    ) -> None:
        self._advance('test')

    def after_test_epoch(self, runner: Runner, metrics: dict | None = None) -> None:
        self._end('test')

    def _start(self, name: str, total: int, completed: int = 0) -> None:
        if self.progress is not None:
            self.tasks[name] = self.progress.add_task(name, total=total, completed=completed, note='')

    def _advance(self, name: str) -> None:
        if self.progress is not None:
            self.progress.advance(self.tasks[name])

    def _end(self, name: str) -> None:
        if self.progress is not None:
            self.progress.remove_task(self.tasks.pop(name))
