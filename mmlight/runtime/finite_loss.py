"""A training whose loss is no number any more ends before it overwrites what was good."""

import math

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmlight.errors import InputError
from mmlight.registry import HOOKS
from mmlight.runtime.checkpoint import latest_checkpoint


@HOOKS.register_module()
class FiniteLoss(Hook):
    """Stops at a loss that is NaN or infinite, and before weights that are would be saved.

    Args:
        interval: Iterations between two looks, each of which waits for the GPU; an epoch's last one is looked at too.

    Raises:
        InputError: names the loss, the iteration and the last checkpoint.
    """

    priority = 'ABOVE_NORMAL'  # before checkpoints are written

    def __init__(self, interval: int = 10) -> None:
        self.interval = interval

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        due = self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)
        saved = runner.train_loop and self.end_of_epoch(runner.train_dataloader, batch_idx)
        if (not due and not saved) or not isinstance(outputs, dict):
            return
        values = {name: value for name, value in outputs.items() if 'loss' in name}
        numbers = {name: float(torch.as_tensor(value).detach()) for name, value in values.items()}
        wrong = {name: value for name, value in numbers.items() if not math.isfinite(value)}
        if wrong:
            name, value = next(iter(wrong.items()))
            raise _diverged(runner, f'{name} is {value} at iteration {runner.iter + 1}')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """A step can end in weights that are no numbers although its loss was one: they are not written."""
        for name, value in checkpoint['state_dict'].items():
            learned = name.endswith(('weight', 'bias', 'running_mean', 'running_var')) and value.is_floating_point()
            if learned and not bool(torch.isfinite(value).all()):
                raise _diverged(runner, f'{name} is not finite after iteration {runner.iter}')


def _diverged(runner: Runner, what: str) -> InputError:
    good = latest_checkpoint(runner.work_dir)
    return InputError(
        f'{what}: the training has diverged and stops; last checkpoint: {good or "none"}; a lower learning rate, '
        'longer warm-up or gradient clipping may help'
    )
