"""Training of detection and segmentation configs alike, on mmengine's Runner."""

import logging
import os

from mmengine.config import Config, ConfigDict
from mmengine.device import utils as device_utils
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmlight.data.check import check_config_data
from mmlight.errors import InputError
from mmlight.runtime import checkpoint as ckpt
from mmlight.runtime.device import use_device
from mmlight.runtime.model import published_weights
from mmlight.runtime.run import RunOptions, add_hooks, build_runner, plain_model, prepare, run, stop_early
from mmlight.runtime.work_dir import check_unused, locked


def train(
    config: str | os.PathLike | Config,
    options: RunOptions = RunOptions(),
    amp: bool = False,
    auto_scale_lr: bool = False,
    resume: str | os.PathLike | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    weights: str | os.PathLike | None = None,
) -> Runner:
    """Train a config as mmdet's and mmseg's ``tools/train.py`` do, after checking all that can be checked first.

    Args:
        config: path, name of a shipped config, or a loaded config.
        options: where and on what it runs.
        amp: mixed precision (needs a GPU).
        auto_scale_lr: scale the learning rate to the batch size, by the config's ``auto_scale_lr``.
        resume: checkpoint to continue from, or ``'auto'``: the latest complete one in ``work_dir``, if there is one.
        epochs: number of epochs instead of the config's; schedules that count epochs are stretched with it.
        seed: for weights, data order and augmentation; by default the config's, else random.
        weights: to start from instead of the config's ``load_from``: file, ``'published'``, or a name in the catalogue.
            Weights of a backbone alone take the place of its ``init_cfg``.

    Returns:
        The runner after training.

    Raises:
        InputError: the config, the data, the checkpoint or an argument cannot work.
    """
    cfg = prepare(config, options)
    if weights is not None:
        _begin_with(cfg, weights)
    _change(cfg, epochs, auto_scale_lr, seed, options.patience)

    with use_device(options.device, options.launcher), locked(cfg.work_dir):
        if amp:
            _enable_amp(cfg)
        if resume is None and not cfg.get('resume'):
            check_unused(cfg.work_dir)
        state = _enable_resume(cfg, resume, seed)
        resumes = state is not None
        if not resumes and cfg.get('load_from'):
            state = ckpt.load(cfg.load_from, 'load_from')
        check_config_data(cfg, ('train_dataloader', 'val_dataloader'))
        add_hooks(cfg, options.save_on_term)
        runner = build_runner(cfg, 'train')
        if state is not None:
            # fine-tuning may change what a model ends in, such as its number of classes
            report = ckpt.check_fits(plain_model(runner), state, cfg.load_from, complete=resumes)
            if report:
                print_log(report, logger='current', level=logging.WARNING)
            del state
        run(runner, runner.train)
        return runner


def _change(cfg: Config, epochs: int | None, auto_scale_lr: bool, seed: int | None, patience: int | None) -> None:
    """The schedule, learning rate, seed and end that the user asks for."""
    if epochs is not None:
        set_epochs(cfg, epochs)
    if auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise InputError('--auto-scale-lr: the config has no auto_scale_lr.base_batch_size to scale from')
        cfg.auto_scale_lr.enable = True
    if seed is not None:
        cfg.randomness = ConfigDict(cfg.get('randomness') or {}, seed=seed)
    if patience is not None:
        stop_early(cfg, patience)


def _begin_with(cfg: Config, weights: str | os.PathLike) -> None:
    file = str(published_weights(cfg, weights, backbones=True))
    names = ckpt.weights_of(ckpt.load(file, '--weights'))
    parts = {name.partition('.')[0] for name in names} & {name for name, part in cfg.model.items() if part}
    if parts - {'backbone'}:
        cfg.load_from = file
        backbone = cfg.model.get('backbone')
        if 'backbone' in parts and (backbone.get('init_cfg') or {}).get('type') == 'Pretrained':
            backbone.init_cfg = None  # else it would be fetched, and replaced at once
        return
    prefix, backbone = '', cfg.model  # of a whole file, and of one whose weights are called so
    while backbone is cfg.model or isinstance(backbone.get('backbone'), dict):
        backbone = backbone.backbone
        prefix += 'backbone.' if any(name.startswith(f'{prefix}backbone.') for name in names) else ''
    backbone.init_cfg = dict(type='Pretrained', checkpoint=file, **({'prefix': prefix} if prefix else {}))
    print_log(f'--weights {weights}: of a backbone, the rest begins anew', 'current')


def set_epochs(cfg: Config, epochs: int) -> None:
    """Train for ``epochs`` epochs; schedules that count epochs are stretched in proportion."""
    if epochs < 1:
        raise InputError(f'--epochs {epochs}: at least 1 is needed')
    before = (cfg.get('train_cfg') or {}).get('max_epochs')
    if before is None:
        raise InputError('--epochs: this config counts iterations; use --cfg-options train_cfg.max_iters=N')
    cfg.train_cfg.max_epochs = epochs
    if 'max_epochs' in cfg:  # at the top of many configs
        cfg.max_epochs = epochs
    cfg.train_cfg.val_interval = min(cfg.train_cfg.get('val_interval', 1), epochs)
    schedulers = cfg.get('param_scheduler') or []
    for scheduler in schedulers if isinstance(schedulers, (list, tuple)) else [schedulers]:
        if not scheduler.get('by_epoch', True):
            continue
        for key in ('begin', 'end', 'T_max', 'step_size', 'total_iters'):
            if isinstance(scheduler.get(key), int):
                scheduler[key] = round(scheduler[key] * epochs / before) or (0 if key == 'begin' else 1)
        if 'milestones' in scheduler:
            scheduler.milestones = [round(m * epochs / before) for m in scheduler.milestones]


def _enable_amp(cfg: Config) -> None:
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise InputError(f'--amp: works with optim_wrapper type OptimWrapper, the config has {kind}')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if device_utils.get_device() == 'cpu':
        cfg.optim_wrapper.setdefault('dtype', 'bfloat16')
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def _enable_resume(cfg: Config, resume: str | os.PathLike | None, seed: int | None = None) -> dict | None:
    """Set ``cfg.resume``, ``cfg.load_from`` and, unless ``seed`` is given, the run's seed; returns the checkpoint."""
    if resume is None and not cfg.get('resume'):
        return None
    path = ckpt.latest_checkpoint(cfg.work_dir) if resume in (None, 'auto') else resume
    if path is None and resume is None and cfg.get('load_from'):
        path = cfg.load_from
    if path is None:
        print_log(f'--resume: no checkpoint in {cfg.work_dir} yet, training starts from the beginning', 'current')
        cfg.resume = False
        return None
    content = ckpt.load(path, '--resume')
    ckpt.check_resumable(content, path)
    cfg.resume, cfg.load_from = True, str(path)
    before = content['meta'].get('seed')
    if before is not None and seed is None:
        cfg.randomness = ConfigDict(cfg.get('randomness') or {}, seed=before)  # before the samplers are built
    return content
