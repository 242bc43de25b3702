"""Training and evaluation of detection and segmentation configs alike, on mmengine's Runner."""

import copy
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from mmengine.config import Config, ConfigDict
from mmengine.device import utils as device_utils
from mmengine.logging import print_log
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmlight.data.check import check_config_data
from mmlight.data.coco_folder import use_coco_folder
from mmlight.errors import InputError
from mmlight.runtime import checkpoint as ckpt
from mmlight.runtime.config import explain, load_config
from mmlight.runtime.progress import ProgressBar
from mmlight.runtime.strides import check_strides

LAUNCHER_NEEDS = {
    'none': (),
    'pytorch': ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    'mpi': ('OMPI_COMM_WORLD_LOCAL_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_RANK', 'MASTER_ADDR'),
}
LAUNCHER_STARTS = {
    'pytorch': '`bash tools/dist_train.sh CONFIG GPUS` or `python -m torch.distributed.run --nproc_per_node=N`',
    'slurm': '`srun` (see tools/slurm_train.sh)',
    'mpi': '`mpirun` with MASTER_ADDR exported',
}
TTA_RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Sizes of an image in a segmentor's test-time augmentation, those of mmseg's configs and of BiSeNet's authors."""


def train(
    config: str | os.PathLike | Config,
    work_dir: str | os.PathLike | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    resume: str | os.PathLike | None = None,
    cfg_options: dict | None = None,
    launcher: str = 'none',
    data: str | os.PathLike | None = None,
    epochs: int | None = None,
    device: str | None = None,
    seed: int | None = None,
) -> Runner:
    """Train a config as mmdet's and mmseg's ``tools/train.py`` do, after checking all that can be checked first.

    Args:
        config: path, name of a shipped config, or a loaded config.
        work_dir: for logs and checkpoints; by default the config's, else ``work_dirs/<config name>``.
        amp: mixed precision (needs a GPU).
        auto_scale_lr: scale the learning rate to the batch size, by the config's ``auto_scale_lr``.
        resume: checkpoint to continue from, or ``'auto'``: the latest complete one in ``work_dir``, if there is one.
        cfg_options: dotted key -> value, merged into the config.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        data: folder with a COCO data set; replaces the config's and sets its classes.
        epochs: number of epochs instead of the config's; schedules that count epochs are stretched with it.
        device: ``cpu``, ``cuda`` or ``cuda:N``; by default a GPU if there is one.
        seed: for weights, data order and augmentation; by default the config's, else random.

    Returns:
        The runner after training.

    Raises:
        InputError: the config, the data, the checkpoint or an argument cannot work.
    """
    cfg = _prepare(config, cfg_options, work_dir, launcher, data)
    if epochs is not None:
        set_epochs(cfg, epochs)
    if auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise InputError('--auto-scale-lr: the config has no auto_scale_lr.base_batch_size to scale from')
        cfg.auto_scale_lr.enable = True
    if seed is not None:
        cfg.randomness = ConfigDict(cfg.get('randomness') or {}, seed=seed)

    with use_device(device, launcher):
        if amp:
            _enable_amp(cfg)
        state = _enable_resume(cfg, resume)
        resumes = state is not None
        if not resumes and cfg.get('load_from'):
            state = ckpt.load(cfg.load_from, 'load_from')
        check_config_data(cfg, ('train_dataloader', 'val_dataloader'))
        _add_hooks(cfg)
        runner = build_runner(cfg, 'train')
        if state is not None:
            # fine-tuning may change what a model ends in, such as its number of classes
            report = ckpt.check_fits(_plain_model(runner), state, cfg.load_from, complete=resumes)
            if report:
                print_log(report, logger='current', level=logging.WARNING)
            del state
        return _run(runner, runner.train)


def evaluate(
    config: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None,
    work_dir: str | os.PathLike | None = None,
    out: str | os.PathLike | None = None,
    show: bool = False,
    show_dir: str | os.PathLike | None = None,
    wait_time: float = 2,
    cfg_options: dict | None = None,
    launcher: str = 'none',
    tta: bool = False,
    data: str | os.PathLike | None = None,
    device: str | None = None,
    onnx: str | os.PathLike | None = None,
    deploy: bool = False,
) -> dict:
    """Evaluate a checkpoint, or an exported file, as mmdet's and mmseg's ``tools/test.py`` do.

    Args:
        onnx: file of ``tools/deployment/export_onnx.py``, instead of a checkpoint; runs on the CPU.
        out: detection: ``*.pkl`` for all predictions; segmentation: folder for the predicted label images.
        show: open a window per picture, for ``wait_time`` seconds.
        show_dir: folder for pictures with the predictions drawn, as mmdet's and mmseg's help texts have it: a relative
            one lies in the run's own folder, ``work_dir/<timestamp>``, an absolute one where it says.
        tta: test-time augmentation, by the config's ``tta_model`` and ``tta_pipeline``. By default a detector sees each
            image also flipped, a segmentor at six sizes, 0.5 to 1.75 of the test pipeline's, plain and flipped.
        deploy: evaluate the network as :func:`mmlight.deploy.deploy.switch_to_deploy` makes it.

    Other arguments are those of :func:`train`.

    Returns:
        Metric name -> value.

    Raises:
        InputError: the config, the data, the checkpoint or an argument cannot work.
    """
    if (checkpoint is None) == (onnx is None):
        raise InputError('checkpoint: give either a checkpoint or --onnx FILE')
    cfg = _prepare(config, cfg_options, work_dir, launcher, data)
    content = None if checkpoint is None else ckpt.load(checkpoint)
    cfg.load_from, cfg.resume = checkpoint and str(checkpoint), False
    if onnx is not None:
        if tta:
            raise InputError('--tta: an exported file has no test-time augmentation')
        if deploy:
            raise InputError('--deploy: an exported file has its norms folded already')
        _use_exported(cfg, str(onnx))
    if show or show_dir:
        _enable_drawing(cfg, show, show_dir, wait_time)
    if deploy:  # before the test pipeline changes
        _enable_deploy(cfg)
    if tta:
        _enable_tta(cfg)
    if out is not None:
        _enable_out(cfg, str(out))
    with use_device(device, launcher):
        check_config_data(cfg, ('test_dataloader',))
        _add_hooks(cfg)
        runner = build_runner(cfg, 'test')
        report = content and ckpt.check_fits(_plain_model(runner), content, checkpoint)
        if report:
            print_log(report, logger='current', level=logging.WARNING)
        return _run(runner, runner.test)


def build_runner(cfg: Config, job: str) -> Runner:
    """The runner with all that ``job`` (``train`` or ``test``) needs; what constructors refuse becomes InputError."""
    try:
        Path(cfg.work_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'--work-dir {cfg.work_dir}: cannot be created ({error.strerror})') from error
    try:
        runner = Runner.from_cfg(cfg) if 'runner_type' not in cfg else RUNNERS.build(cfg)
        check_strides(_plain_model(runner))
        if job == 'train':
            runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
            loops = runner.train_loop, runner.val_loop  # reading them builds them
        else:
            loops = (runner.test_loop,)
    except InputError:
        raise
    except (TypeError, KeyError, ValueError, AssertionError) as error:
        raise explain(error, cfg) from error
    if loops[0] is None:
        raise InputError(f'config {cfg.filename}: lacks {job}_dataloader and {job}_cfg')
    return runner


def set_epochs(cfg: Config, epochs: int) -> None:
    """Train for ``epochs`` epochs; schedules that count epochs are stretched in proportion."""
    if epochs < 1:
        raise InputError(f'--epochs {epochs}: at least 1 is needed')
    before = (cfg.get('train_cfg') or {}).get('max_epochs')
    if before is None:
        raise InputError('--epochs: this config counts iterations; use --cfg-options train_cfg.max_iters=N')
    cfg.train_cfg.max_epochs = epochs
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


@contextmanager
def use_device(device: str | None, launcher: str = 'none') -> Iterator[None]:
    """Let mmengine use ``device`` (``cpu``, ``cuda``, ``cuda:N``; None: its own choice) inside the ``with`` block."""
    previous = device_utils.DEVICE
    if device is not None:
        kind, _, index = device.partition(':')
        if kind not in ('cpu', 'cuda') or (index and (kind == 'cpu' or not index.isdigit())):
            raise InputError(f"--device '{device}': allowed are cpu, cuda and cuda:N")
        if kind == 'cuda':
            if not torch.cuda.is_available():
                raise InputError(f'--device {device}: PyTorch {torch.__version__} sees no GPU here')
            if index and launcher != 'none':
                raise InputError(f'--device {device}: with --launcher each process takes the GPU of its local rank')
            if index and int(index) >= torch.cuda.device_count():
                raise InputError(f'--device {device}: there are {torch.cuda.device_count()} GPUs, counted from 0')
            if index:
                torch.cuda.set_device(int(index))
        device_utils.DEVICE = kind
    try:
        yield
    finally:
        device_utils.DEVICE = previous


def check_launcher(launcher: str) -> None:
    """Refuse a launcher whose environment variables are not set."""
    if launcher not in LAUNCHER_NEEDS:
        raise InputError(f"--launcher '{launcher}': allowed are {', '.join(LAUNCHER_NEEDS)}")
    missing = [name for name in LAUNCHER_NEEDS[launcher] if name not in os.environ]
    if missing:
        raise InputError(
            f'--launcher {launcher}: environment lacks {", ".join(missing)}; start with {LAUNCHER_STARTS[launcher]}'
        )


def _prepare(config, cfg_options, work_dir, launcher, data) -> Config:
    """What train and test have in common before the runner: launcher, config, data folder, work dir."""
    check_launcher(launcher)
    cfg = copy.deepcopy(config) if isinstance(config, Config) else load_config(config, cfg_options)
    cfg.launcher = launcher
    if data is not None:
        use_coco_folder(cfg, data)
    if work_dir is not None or not cfg.get('work_dir'):
        cfg.work_dir = str(work_dir or Path('work_dirs') / Path(cfg.filename or 'config').stem)
    return cfg


def _enable_amp(cfg: Config) -> None:
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if device_utils.get_device() == 'cpu':
        raise InputError('--amp: mixed precision needs a GPU, this run is on the CPU')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise InputError(f'--amp: works with optim_wrapper type OptimWrapper, the config has {kind}')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def _enable_resume(cfg: Config, resume: str | os.PathLike | None) -> dict | None:
    """Set ``cfg.resume`` and ``cfg.load_from``; returns the checkpoint to resume from, if any."""
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
    seed = content['meta'].get('seed')
    if seed is not None and (cfg.get('randomness') or {}).get('seed') is None:
        cfg.randomness = ConfigDict(cfg.get('randomness') or {}, seed=seed)  # before the samplers are built
    return content


def _add_hooks(cfg: Config) -> None:
    """The hooks and the checkpoint backend of this package, unless the config names them itself."""
    hooks = list(cfg.get('custom_hooks') or [])
    for kind in ('mmlight.SeedByStep', 'mmlight.ProgressBar'):
        if all(hook.get('type') != kind for hook in hooks if isinstance(hook, dict)):
            hooks.append(ConfigDict(type=kind))
    cfg.custom_hooks = hooks
    saving = (cfg.get('default_hooks') or {}).get('checkpoint')
    if isinstance(saving, dict) and saving.get('backend_args') is None and '://' not in str(saving.get('out_dir')):
        saving.backend_args = ConfigDict(backend='mmlight.atomic')
    if cfg.launcher != 'none' and device_utils.get_device() == 'cpu':
        _replace_sync_bn(cfg.model)
        cfg.pop('sync_bn', None)


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


def _plain_model(runner: Runner) -> torch.nn.Module:
    """The model inside wrappers for data parallelism and test-time augmentation."""
    model = runner.model
    while isinstance(getattr(model, 'module', None), torch.nn.Module):
        model = model.module
    return model


def _run(runner: Runner, job):
    try:
        return job()
    finally:
        for hook in runner.hooks:
            if isinstance(hook, ProgressBar):
                hook.close()


def _is_segmentation(cfg: Config) -> bool:
    return cfg.get('default_scope') == 'mmseg'


def _enable_drawing(cfg: Config, show: bool, show_dir: str | os.PathLike | None, wait_time: float) -> None:
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if hook is None:
        raise InputError('--show/--show-dir: the config has no default_hooks.visualization')
    hook.draw = True
    if show:
        hook.show, hook.wait_time = True, wait_time
    if _is_segmentation(cfg):
        hook.interval = 1  # mmseg draws every 50th picture by default, mmdet each
    if show_dir and _is_segmentation(cfg):
        _local_backend(cfg).img_save_dir = os.path.join('..', show_dir)  # it starts from the run's `vis_data`
    elif show_dir:
        hook.test_out_dir = str(show_dir)


def _local_backend(cfg: Config) -> ConfigDict:
    """The visualizer's backend that writes files, added where there is none."""
    backends = cfg.visualizer.get('vis_backends') or []
    found = next((one for one in backends if one.type == 'LocalVisBackend'), None)
    if found is None:
        found = ConfigDict(type='LocalVisBackend')
        cfg.visualizer.vis_backends = [*backends, found]
        found = cfg.visualizer.vis_backends[-1]
    return found


def _test_dataset(cfg: Config) -> ConfigDict:
    dataset = cfg.test_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    return dataset


def _use_exported(cfg: Config, file: str) -> None:
    """Put an exported file in the model's place."""
    from mmlight.deploy import onnx_model  # noqa: F401  (registers it)
    from mmlight.runtime.prediction import dataset_meta

    task = 'segmentation' if _is_segmentation(cfg) else 'detection'
    classes = dataset_meta(cfg).get('classes')
    cfg.model = ConfigDict(type='mmlight.OnnxModel', file=file, classes=classes and list(classes), task=task)


def _enable_deploy(cfg: Config) -> None:
    from mmlight.measure.complexity import evaluated_shape

    if cfg.get('compile'):
        raise InputError('--deploy: cannot be combined with `compile`, which has compiled the network as it was')
    hook = ConfigDict(type='mmlight.DeployHook')
    with suppress(InputError):  # no fixed size: the hook's own
        hook.shape = [min(-(-side // 128) * 128, 512) for side in evaluated_shape(cfg)]
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or []), hook]


def _enable_tta(cfg: Config) -> None:
    dataset = _test_dataset(cfg)
    pipeline = cfg.get('tta_pipeline')
    if _is_segmentation(cfg):
        cfg.model = ConfigDict(cfg.get('tta_model') or {'type': 'SegTTAModel'}, module=cfg.model)
        dataset.pipeline = pipeline or _scales_and_flip(dataset.pipeline)
        return
    if pipeline is None:
        pack = dict(dataset.pipeline[-1])
        pack['meta_keys'] = (
            'img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction',
        )  # fmt: skip
        flips = [{'type': 'RandomFlip', 'prob': prob} for prob in (1.0, 0.0)]
        pipeline = [*dataset.pipeline[:-1], {'type': 'TestTimeAug', 'transforms': [flips, [pack]]}]
    nms = {'type': 'nms', 'iou_threshold': 0.5}
    default = {'type': 'DetTTAModel', 'tta_cfg': {'nms': nms, 'max_per_img': 100}}
    cfg.model = ConfigDict(cfg.get('tta_model') or default, module=cfg.model)
    dataset.pipeline = pipeline


def _scales_and_flip(pipeline: list[ConfigDict]) -> list[dict]:
    """A segmentor's test pipeline with its ``Resize`` at each of ``TTA_RATIOS``, and each image also flipped."""
    at = next((i for i, step in enumerate(pipeline) if step.type == 'Resize' and 'scale' in step), None)
    if at is None:
        raise InputError('--tta: the config has no tta_pipeline, and its test pipeline no Resize with a scale')
    scale = pipeline[at].scale
    sizes = [tuple(round(side * ratio) for side in scale) for ratio in TTA_RATIOS]
    flips = [{'type': 'RandomFlip', 'prob': prob} for prob in (0.0, 1.0)]
    choices = [[{**pipeline[at], 'scale': size} for size in sizes], flips, *([step] for step in pipeline[at + 1 :])]
    return [*pipeline[:at], {'type': 'TestTimeAug', 'transforms': choices}]


def _enable_out(cfg: Config, out: str) -> None:
    if not _is_segmentation(cfg):
        if not out.endswith(('.pkl', '.pickle')):
            raise InputError(f'--out {out}: predictions of a detector go to a .pkl or .pickle file')
        evaluator = cfg.test_evaluator if isinstance(cfg.test_evaluator, (list, tuple)) else [cfg.test_evaluator]
        cfg.test_evaluator = [*evaluator, ConfigDict(type='DumpDetResults', out_file_path=out)]
        return
    for metric in cfg.test_evaluator if isinstance(cfg.test_evaluator, (list, tuple)) else [cfg.test_evaluator]:
        metric.output_dir, metric.keep_results = out, True
