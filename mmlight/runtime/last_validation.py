"""A training that was killed between a checkpoint and the end of its validation validates when it resumes."""

from pathlib import Path

from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner

from mmlight.files import put
from mmlight.registry import HOOKS

FILE = 'last_validated'


@HOOKS.register_module()
class LastValidation(Hook):
    """Notes in the work dir which epoch (or iteration) was validated last, with all that follows from it: the best
    checkpoint, early stopping. A resumed training whose checkpoint was due for validation, but is not noted, begins
    with it.
    """

    priority = 'LOWEST'  # after the hooks that keep the best checkpoint

    def before_train(self, runner: Runner) -> None:
        """Validate what was not."""
        loop, position = runner.train_loop, self._position(runner)
        interval, begin = getattr(loop, 'val_interval', 0), getattr(loop, 'val_begin', 1)
        if not runner._resume or runner.val_loop is None or not interval or position < max(begin, 1):
            return
        last = loop.max_iters if isinstance(loop, IterBasedTrainLoop) else loop.max_epochs
        due = position % interval == 0 or position == last
        if due and self._noted(runner) < position:
            runner.logger.info(f'The validation of the checkpoint at {position} was not finished; it runs now.')
            runner.val_loop.run()

    def after_val(self, runner: Runner) -> None:
        """Note the position; the whole loop has ended, best checkpoint included."""
        if isinstance(runner._train_loop, BaseLoop) and runner.rank == 0:  # else nothing is trained
            put(str(self._position(runner)), Path(runner.work_dir) / FILE)

    @staticmethod
    def _position(runner: Runner) -> int:
        return runner.iter if isinstance(runner.train_loop, IterBasedTrainLoop) else runner.epoch

    @staticmethod
    def _noted(runner: Runner) -> int:
        found = [0]
        path = Path(runner.work_dir) / FILE
        if runner.rank == 0 and path.is_file():
            text = path.read_text().strip()
            found = [int(text) if text.isdigit() else 0]
        broadcast_object_list(found)
        return found[0]
