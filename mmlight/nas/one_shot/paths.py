"""The supernet inside a runner's model, and which of its paths runs in a training step."""

import random
from typing import Any

from mmengine.config import Config
from mmengine.dist import broadcast_object_list
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from mmlight import checks
from mmlight.errors import InputError
from mmlight.registry import HOOKS

UNFIT = {
    'compile': 'it compiles anew for each path',
    'activation_checkpointing': 'it recomputes with another path than the one that ran',
    'efficient_conv_bn_eval': 'it folds batch norms whose statistics are measured for each path',
    'detect_anomalous_params': 'it reports every parameter that the path does not use',
}


def plain_model(runner: Runner) -> Any:
    """The detector, without a wrapper for several processes."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def find_supernet(model: nn.Module) -> Any:
    """The supernet in a detector.

    Raises:
        InputError: neither its backbone nor its neck is a supernet.
    """
    parts = [getattr(model, name, None) for name in ('backbone', 'neck')]
    for part in parts:
        if hasattr(part, 'set_path'):
            return part
    raise InputError('model.backbone: must be a supernet (mmlight.CRStageSuper*, mmlight.CROpSuper*), or model.neck a '
                     f'mmlight.SuperFPN, got {type(parts[0]).__name__} and {type(parts[1]).__name__}')  # fmt: skip


def check_config(cfg: Config) -> None:
    """Refuse what cannot work with a network that changes in every step.

    Raises:
        InputError: naming the config key.
    """
    for key, why in UNFIT.items():
        for where, settings in (('', cfg), ('model_wrapper_cfg.', cfg.get('model_wrapper_cfg') or {})):
            if settings.get(key):
                raise InputError(f'config key {where}{key}: must not be set with a supernet, {why}')


@HOOKS.register_module()
class PathSamplingHook(Hook):
    """Draws the path of each training step, uniform and independent, from (seed, step): the same on all processes and
    after a resumption. Validation runs the supernet's ``anchor``.

    With ``randoms`` the supernet's smallest and largest network take turns with so many random ones: the sandwich rule
    (universally slimmable networks, arXiv 1903.05134, Sec. 3.2), each update of the weights from all of them with
    ``optim_wrapper=dict(accumulative_counts=2 + randoms)``.

    Args:
        randoms: Random paths after the two extremes; None: all are random.

    Raises:
        InputError: before the training, for settings that cannot work with a supernet.
    """

    priority = 'VERY_HIGH'

    def __init__(self, randoms: int | None = None):
        if randoms is not None:
            checks.positive_int('PathSamplingHook', randoms=randoms)
        self.randoms = randoms

    def before_run(self, runner: Runner) -> None:
        supernet = find_supernet(plain_model(runner))
        if self.randoms is not None and not hasattr(supernet, 'extremes'):
            raise InputError(f'PathSamplingHook: randoms must be None with a {type(supernet).__name__}')
        check_config(runner.cfg)
        wrapper = runner.cfg.get('model_wrapper_cfg') or runner.cfg
        if runner.distributed and (not wrapper.get('find_unused_parameters') or wrapper.get('static_graph')):
            where = 'model_wrapper_cfg.' if wrapper is not runner.cfg else ''
            raise InputError(
                f'config key {where}find_unused_parameters: must be True with a supernet on several processes, and '
                'static_graph not set: each step uses other parameters'
            )
        for hook in runner.hooks:
            if isinstance(hook, EMAHook):
                raise InputError('config key custom_hooks: EMAHook averages weights of paths that did not run')
            if isinstance(hook, CheckpointHook) and hook.save_best:
                raise InputError(
                    f'config key default_hooks.checkpoint.save_best: must be None with a supernet, got '
                    f'{hook.save_best!r}: it would rank one path of many'
                )

    def before_train(self, runner: Runner) -> None:
        seed = [runner.seed or 0]
        broadcast_object_list(seed)  # it may differ between processes
        self.seed = seed[0]
        self.supernet = find_supernet(plain_model(runner))

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        fixed = () if self.randoms is None else self.supernet.extremes
        turn = runner.iter % (len(fixed) + (self.randoms or 1))
        rng = random.Random(f'{self.seed} {runner.iter}')
        self.supernet.set_path(fixed[turn] if turn < len(fixed) else self.supernet.sample_path(rng))

    def before_val_epoch(self, runner: Runner) -> None:
        supernet = find_supernet(plain_model(runner))
        supernet.set_path(supernet.anchor)
