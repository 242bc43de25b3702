"""What training and evaluation share: a config made ready, the runner built from it, and its run."""

import copy
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import utils as device_utils
from mmengine.logging import MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import BaseLoop, EpochBasedTrainLoop, Runner

from mmlight.checks import positive_int
from mmlight.data.coco_folder import use_coco_folder
from mmlight.data.masks import use_mask_folder
from mmlight.errors import InputError
from mmlight.runtime.checkpoint import latest_checkpoint
from mmlight.runtime.config import explain, leaves, load_config
from mmlight.runtime.device import check_launcher
from mmlight.runtime.progress import ProgressBar
from mmlight.runtime.save_on_term import SaveOnTerm
from mmlight.runtime.strides import check_strides
from mmlight.runtime.workers import explain_workers, watch_workers
from mmlight.signals import children_die_with_us

BUILDING = (TypeError, KeyError, ValueError, AssertionError, AttributeError, ImportError, ArithmeticError)
"""What constructors raise for arguments that they do not know or cannot use, and for packages that are missing."""


@dataclass(frozen=True)
class RunOptions:
    """Where and on what a config runs.

    Attributes:
        work_dir: for logs and checkpoints; by default the config's, else ``work_dirs/<config name>``.
        cfg_options: dotted key -> value, merged into the config.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        data: folder with a data set (COCO, Pascal VOC, YOLO; images and masks for a segmentor); replaces the config's
            and sets its classes.
        device: ``cpu``, ``cuda`` or ``cuda:N``; by default a GPU if there is one.
        save_on_term: a training that gets SIGTERM writes a checkpoint first; by default under SLURM.
        patience: evaluations without a better metric after which a training ends; None: it never ends early.
    """

    work_dir: str | os.PathLike | None = None
    cfg_options: dict | None = None
    launcher: str = 'none'
    data: str | os.PathLike | None = None
    device: str | None = None
    save_on_term: bool | None = None
    patience: int | None = None


def prepare(config: str | os.PathLike | Config, options: RunOptions) -> Config:
    """The config (a copy of a loaded one) with its launcher, data folder and work dir; bad ones are InputErrors."""
    check_launcher(options.launcher)
    cfg = copy.deepcopy(config) if isinstance(config, Config) else load_config(config, options.cfg_options)
    cfg.launcher = options.launcher
    if options.work_dir is not None or not cfg.get('work_dir'):
        cfg.work_dir = str(options.work_dir or Path('work_dirs') / Path(cfg.filename or 'config').stem)
    if options.data is not None:
        use: Any = use_mask_folder if cfg.get('default_scope') == 'mmseg' else use_coco_folder
        given = {key: _value(cfg, key) for key, _ in leaves(options.cfg_options or {})}
        use(cfg, options.data)
        for key, value in given.items():
            if (now := _value(cfg, key)) != value:
                raise InputError(
                    f'--cfg-options {key}={value}: --data {options.data} makes that {now}; give one of them'
                )
    return cfg


def _value(node: Any, key: str) -> Any:
    """What stands at a dotted key, numbers for the places of a list; None if nothing does."""
    for name in key.split('.'):
        if isinstance(node, (list, tuple)) and name.isdigit():
            node = dict(enumerate(node)).get(int(name))
        else:
            node = node.get(name) if isinstance(node, (dict, Config)) else None
    return copy.deepcopy(node)


METRICS = {'CocoMetric': ('coco/bbox_mAP', 1e-3), 'VOCMetric': ('pascal_voc/mAP', 1e-3), 'IoUMetric': ('mIoU', 0.1)}
"""Evaluator -> the metric that says which checkpoint is the best, and the least gain that counts for early stopping."""


class QuietRunner(Runner):
    """Writes what fills pages (environment, whole config, lists of hooks and parameters) to the log file only."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """The logger of mmengine."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.addFilter(_is_brief)
        return logger


def _is_brief(record: logging.LogRecord) -> bool:
    text = record.getMessage().lstrip('-\n')
    return not text.startswith(('System environment', 'Config:', 'Hooks will be executed', 'paramwise_options'))


def build_runner(cfg: Config, job: str) -> Runner:
    """The runner with all that ``job`` (``train`` or ``test``) needs; what constructors refuse becomes InputError."""
    try:
        Path(cfg.work_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'--work-dir {cfg.work_dir}: cannot be created ({error.strerror})') from error
    try:
        given = cfg if job == 'train' else _nameless(cfg)
        runner = QuietRunner.from_cfg(given) if 'runner_type' not in cfg else RUNNERS.build(given)
        object.__setattr__(runner.cfg, '_filename', cfg.filename)  # for messages
        check_strides(plain_model(runner))
        if job == 'train':
            runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
            loops: tuple[Any, ...] = runner.train_loop, runner.val_loop  # reading them builds them
        else:
            loops = (runner.test_loop,)
    except InputError:
        raise
    except (*BUILDING, RuntimeError) as error:  # torch has the latter for layers of a negative size
        raise explain(error, cfg) from error
    if loops[0] is None:
        raise InputError(f'config {cfg.filename}: lacks {job}_dataloader and {job}_cfg')
    positive_int('train_cfg', val_interval=getattr(loops[0], 'val_interval', 1))
    if isinstance(loops[0], EpochBasedTrainLoop) and not len(loops[0].dataloader):
        count, size = len(loops[0].dataloader.dataset), cfg.train_dataloader.batch_size
        raise InputError(f'train_dataloader: {count} images give no batch of {size} (batch_size), and drop_last is set')
    return runner


def _nameless(cfg: Config) -> Config:
    """A copy that the runner writes as ``<timestamp>.py``: a test's must not replace the config of the training."""
    cfg = copy.deepcopy(cfg)
    object.__setattr__(cfg, '_filename', None)
    return cfg


def add_hooks(cfg: Config, save_on_term: bool | None = None) -> None:
    """The hooks and the checkpoint backend of this package, unless the config names them itself."""
    hooks = list(cfg.get('custom_hooks') or [])
    saves = 'SLURM_JOB_ID' in os.environ if save_on_term is None else save_on_term
    for name in ('SeedByStep', 'ProgressBar', 'UniqueNames', 'FiniteLoss', 'LastValidation', *['SaveOnTerm'] * saves):
        kind = f'mmlight.{name}'
        if all(hook.get('type') != kind for hook in hooks if isinstance(hook, dict)):
            hooks.append(ConfigDict(type=kind))
    cfg.custom_hooks = hooks
    watch_workers(cfg)
    named = {f'default_hooks.{name}': hook for name, hook in (cfg.get('default_hooks') or {}).items()}
    for where, hook in (named | {f'custom_hooks.{number}': hook for number, hook in enumerate(hooks)}).items():
        if isinstance(hook, dict) and hook.get('interval', -1) != -1:  # -1: never
            positive_int(f'config key {where}', interval=hook['interval'])
    saving = (cfg.get('default_hooks') or {}).get('checkpoint')
    if isinstance(saving, dict) and saving.get('backend_args') is None and '://' not in str(saving.get('out_dir')):
        saving['backend_args'] = ConfigDict(backend='mmlight.atomic')
    paths = any(isinstance(hook, dict) and str(hook.get('type')).endswith('PathSamplingHook') for hook in hooks)
    if isinstance(saving, dict) and not paths and (metric := _metric(cfg)):  # a supernet's metric is that of one path
        saving.setdefault('save_best', metric[0])
        saving.setdefault('rule', 'greater')
    if cfg.launcher != 'none' and device_utils.get_device() == 'cpu':
        _replace_sync_bn(cfg.model)
        cfg.pop('sync_bn', None)


def _metric(cfg: Config) -> tuple[str, float] | None:
    evaluator = cfg.get('val_evaluator')
    first = evaluator[0] if isinstance(evaluator, (list, tuple)) and evaluator else evaluator
    if not isinstance(first, dict) or first.get('prefix'):
        return None
    kind = str(first.get('type')).rpartition('.')[2]
    if kind == 'CocoMetric' and 'bbox' not in str(first.get('metric', 'bbox')):
        return None
    return METRICS.get(kind)


def stop_early(cfg: Config, patience: int) -> None:
    """End the training after so many evaluations without a better metric; a resumed one counts anew.

    Raises:
        InputError: patience is below 1, or the config's evaluator is not known.
    """
    positive_int('train', **{'--early-stop': patience})
    metric = _metric(cfg)
    if metric is None:
        raise InputError(f'--early-stop: needs a val_evaluator of {", ".join(METRICS)}')
    hook = dict(type='EarlyStoppingHook', monitor=metric[0], rule='greater', min_delta=metric[1], patience=patience)
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), ConfigDict(hook)]


def _replace_sync_bn(node: object) -> None:
    """PyTorch's SyncBatchNorm refuses CPU tensors; BN has the same parameters."""
    if isinstance(node, dict):
        if node.get('type') == 'SyncBN':
            node['type'] = 'BN'
        for value in node.values():
            _replace_sync_bn(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _replace_sync_bn(value)


def plain_model(runner: Runner) -> torch.nn.Module:
    """The model inside wrappers for data parallelism and test-time augmentation."""
    model = runner.model
    while isinstance(getattr(model, 'module', None), torch.nn.Module):
        model = model.module
    return model


def run(runner: Runner, job: Callable[[], Any]) -> Any:
    """What ``job`` returns; the progress bars are closed however it ends.

    Raises:
        InputError: what mmengine builds or reads only when it starts refuses the config.
    """
    start = _steps(runner)
    children_die_with_us()
    try:
        return job()
    except KeyboardInterrupt as error:
        good = latest_checkpoint(runner.work_dir) if isinstance(runner._train_loop, BaseLoop) else None
        raise type(error)(str(error) or (f'the last checkpoint is {good}' if good else '')) from None
    except (*BUILDING, RuntimeError) as error:
        # after the first step of a training, settings are not what is wrong; nor is memory a setting's type
        if (known := explain_workers(error)) is not None:
            raise known from error
        if isinstance(error, (InputError, torch.OutOfMemoryError)) or _steps(runner) > start:
            raise
        raise explain(error, runner.cfg, 'run') from error
    finally:
        for hook in runner.hooks:
            if isinstance(hook, (ProgressBar, SaveOnTerm)):
                hook.close()


def _steps(runner: Runner) -> int:
    """Of the training so far; ``runner.iter`` would build its loop, and with it its data, in a test."""
    return getattr(runner._train_loop, 'iter', 0)
