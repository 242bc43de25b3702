"""A trained network made ready for inference in PyTorch: less to compute, the same outputs."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseModel, BaseTTAModel, is_model_wrapper
from mmengine.runner import Runner

from mmlight.deploy.folding import fold_norms
from mmlight.errors import InputError
from mmlight.registry import HOOKS
from mmlight.runtime.inference import evaluated_shape


def switch_to_deploy(model: BaseModel, shape: Sequence[int] = (256, 256)) -> BaseModel:
    """A copy in evaluation mode with norms folded into the convolutions before them and maps with the channels last.

    Folded are the norms that follow a convolution of their own in a run on a random image; others stay. The outputs are
    compared; where they differ, or where the network cannot run on that image, all norms stay and a warning says so.

    Args:
        model: A detector or segmentor of mmdet or mmseg, trained; it stays as it is.
        shape: (height, width) of the random image.
    """
    folded: Any = None
    reason = 'it would change the outputs'
    try:
        folded = fold_norms(model, (shape[0], shape[1]))
    except InputError as error:
        reason = f'it cannot be checked: {error}'
    if folded is None:
        print_log(f'{type(model).__name__}: its norms are not folded, {reason}', 'current', logging.WARNING)
        folded = copy.deepcopy(model).eval()
    return folded.to(memory_format=torch.channels_last)


def deployed(cfg: Config) -> None:
    """A change to a config for :func:`mmlight.runtime.test.evaluate`: its test runs on the network made ready."""
    if cfg.get('compile'):
        raise InputError('--deploy: cannot be combined with `compile`, which has compiled the network as it was')
    hook = ConfigDict(type='mmlight.DeployHook')
    with suppress(InputError):  # no fixed size: the hook's own
        hook.shape = [min(-(-side // 128) * 128, 512) for side in evaluated_shape(cfg)]
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]


@HOOKS.register_module()
class DeployHook(Hook):
    """Evaluates :func:`switch_to_deploy` of the model that the runner has, averaged weights included.

    Args:
        shape: As there.
    """

    priority = 'VERY_LOW'  # behind EMAHook, which puts the averaged weights into the model

    def __init__(self, shape: Sequence[int] = (256, 256)):
        self.shape = tuple(shape)

    def before_test_epoch(self, runner: Runner) -> None:
        self.model = runner.model
        model = self.model.module if is_model_wrapper(self.model) else self.model
        if isinstance(model, BaseTTAModel):
            self.plain, model.module = model.module, switch_to_deploy(model.module, self.shape)
        else:
            runner.model = switch_to_deploy(model, self.shape)

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        model = self.model.module if is_model_wrapper(self.model) else self.model
        if isinstance(model, BaseTTAModel):
            model.module = self.plain
        runner.model = self.model
