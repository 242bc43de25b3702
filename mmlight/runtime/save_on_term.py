"""A training that a cluster ends writes a checkpoint first."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any

from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmlight.files import put
from mmlight.registry import HOOKS
from mmlight.signals import Terminated


@HOOKS.register_module()
class SaveOnTerm(Hook):
    """On SIGTERM the running iteration is finished and a checkpoint written, from which ``--resume`` goes on.

    Of several processes the first one does so, the others go on until their launcher ends them. A second signal ends
    the training at once.

    Raises:
        Terminated: when that is done; its message names the checkpoint.
    """

    priority = 'LOWEST'  # after the schedules' steps and the regular checkpoint
    arrived = False
    before: Any = None

    def before_train(self, runner: Runner) -> None:
        """From here on SIGTERM is only noted."""
        self.before = signal.signal(signal.SIGTERM, self._note)

    def close(self) -> None:
        """SIGTERM does again what it did before the training."""
        if self.before is not None:
            signal.signal(signal.SIGTERM, self.before)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.close()
        self.arrived = True

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Save, except at an epoch's end: some schedules step after it."""
        loop = runner.train_loop
        by_epoch = isinstance(loop, EpochBasedTrainLoop)
        if self.arrived and not (by_epoch and runner.iter + 1 == (runner.epoch + 1) * len(loop.dataloader)):
            self._save(runner, runner.epoch, runner.iter + 1)

    def after_train_epoch(self, runner: Runner) -> None:
        if self.arrived and isinstance(runner.train_loop, EpochBasedTrainLoop):
            self._save(runner, runner.epoch + 1, runner.iter)

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        if self.arrived:
            self._save(runner, runner.epoch, runner.iter)

    @staticmethod
    def _save(runner: Runner, epoch: int, iteration: int) -> None:
        if runner.rank != 0:
            return
        regular = next((hook for hook in runner.hooks if isinstance(hook, CheckpointHook)), None)
        folder = regular.out_dir if regular else runner.work_dir
        backend = regular.backend_args if regular else None
        name = f'iter_{iteration}.pth'
        runner.save_checkpoint(folder, name, meta=dict(epoch=epoch, iter=iteration), backend_args=backend)
        path = Path(folder, name)
        put(str(path), Path(runner.work_dir, 'last_checkpoint'))
        raise Terminated(f'saved {path}')
