"""What a network is worth: by its multiply-adds alone, or by a proxy training."""

import contextlib
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmlight.errors import InputError
from mmlight.nas.backends.base import Retry
from mmlight.nas.samplers.base import Choices
from mmlight.nas.spaces import SearchSpace
from mmlight.registry import OBJECTIVES
from mmlight.runtime.config import load_config

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def network_config(
    space: SearchSpace, choices: Choices, config: str | os.PathLike, options: dict | None = None
) -> Config:
    """The config with the network that the choices describe."""
    cfg = load_config(config, options)
    put_network(space, space.decode(choices), cfg)
    return cfg


def put_network(space: SearchSpace, network: Any, cfg: Config) -> None:
    """Write a network into a config that searches; a supernet of the space gives place to it."""
    cfg.pop('search', None)
    neck: Any = cfg.model.get('neck') or {}
    head: Any = cfg.model.get('bbox_head') or {}
    if 'space' not in neck:
        space.apply(network, cfg)
        return
    cfg.model.neck = neck.neck
    cfg.custom_hooks = [h for h in cfg.get('custom_hooks', []) if not str(h.get('type')).endswith('PathSamplingHook')]
    cfg.optim_wrapper.pop('accumulative_counts', None)
    kept = head.get('feat_channels')  # the supernet's head has one width
    space.apply(network, cfg)
    if kept is not None:
        head.feat_channels = kept


def count(cfg: Config, shape: Sequence[int]) -> tuple[int, int]:
    """Parameters and multiply-adds of a config's model for an image of ``shape``, without memory for its weights."""
    from mmlight.measure.complexity import measure
    from mmlight.runtime.inference import build

    found = measure(build(cfg).to('meta'), shape)
    return found.parameters, found.macs


def latency(cfg: Config, shape: Sequence[int]) -> float:
    """Milliseconds (median) of the layers of a config's model for one image of ``shape``, on this machine's CPU."""
    from mmlight.measure.latency import measure_latency
    from mmlight.runtime.inference import build, inference

    with inference(build(cfg), shape) as (function, *_):
        return measure_latency({'network': function})['network'].p50


def check_fit(
    space: SearchSpace,
    config: str | os.PathLike,
    options: dict | None,
    shape: Sequence[int],
    choices: Choices | None = None,
) -> None:
    """Build the proxy with a network of the space, by default a random one, and count an image of ``shape``, before
    anything is trained.

    Raises:
        InputError: where the networks do not fit into the proxy.
    """
    cfg = network_config(space, choices or space.sample(random.Random(0)), config, options)
    try:
        count(cfg, shape)
    except InputError as error:  # e.g. of a layer that gets maps of other channels than it was built for
        raise InputError(f'config {config}: does not run with a network of {type(space).__name__}: {error}') from None


FACTS = ('parameters', 'macs', 'latency')
"""What is known of a network without training it: counts, and milliseconds measured where the trial runs."""


def check_positive(name: str, value: object) -> None:
    """Refuse anything but a number above 0."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise InputError(f'{name} must be a number above 0, got {value!r}')


def check_shape(name: str, shape: Any) -> None:
    """Refuse anything but a height and a width."""
    pair = isinstance(shape, (list, tuple)) and len(shape) == 2
    if not pair or any(not isinstance(side, int) or side < 1 for side in shape):
        raise InputError(f'{name} must be height and width in pixels, got {shape!r}')


MACHINE = ('OSError', 'ConnectionError', 'DataLoader worker', 'CUDA error', 'NCCL', 'Bus error')
"""In the last line of a training that the machine ended, not its network."""


@OBJECTIVES.register_module()
@dataclass
class MACs:
    """Reward ``exp(-|log(multiply-adds / target)|)``: free, for trying a search out. It is 1 at the target; an illegal
    network, with its 0, is below all others.

    Attributes:
        space: The space.
        config: Proxy config that takes the space's networks.
        target: Multiply-adds.
        shape: Height and width of the image.

    Raises:
        InputError: for a target or shape that is not positive.
    """

    space: SearchSpace
    config: str
    target: float
    shape: tuple[int, int]

    num_values = 1

    def __post_init__(self) -> None:
        check_positive('MACs: target', self.target)
        check_shape('MACs: shape', self.shape)

    def check(self) -> None:
        """See :func:`check_fit`."""
        check_fit(self.space, self.config, None, tuple(self.shape))

    def __call__(self, choices: Choices, folder: Path) -> dict:
        parameters, macs = count(network_config(self.space, choices, self.config), tuple(self.shape))
        return {'reward': min(macs / self.target, self.target / macs), 'parameters': parameters, 'macs': macs}


@OBJECTIVES.register_module()
@dataclass
class ProxyTraining:
    """Trains a network with an ordinary config, in a process of its own, and takes a metric of the last evaluation.

    What is beyond a limit is not trained. With a target the reward is ``metric * (fact / target) ** exponent`` above
    the target and the metric below (MnasNet, arXiv 1807.11626, Sec. 3). The weights are not kept.

    Attributes:
        space: The space.
        config: The proxy's config: detector, data set and schedule.
        metric: Key of the evaluation.
        options: Further settings, as ``--cfg-options`` takes them.
        shape: Height and width of the image for which the facts are counted and measured.
        limits: Networks above them get the reward 0: ``dict(macs=...)``; keys are :data:`FACTS`.
        target: A fact above which the reward shrinks: ``dict(latency=...)``.
        exponent: How fast.
        against: A fact to trade the metric off against: the sampler is told ``(metric, fact)``, for samplers of two
            goals such as Optuna's ``NSGAIISampler``.
        seed: Of every training.
        timeout: Seconds after which a training counts as failed.

    Raises:
        InputError: for an unknown fact, a limit or target that is not positive, more than one target, and
            facts without a ``shape``.
    """

    space: SearchSpace
    config: str
    metric: str = 'coco/bbox_mAP'
    options: dict = field(default_factory=dict)
    shape: tuple[int, int] | None = None
    limits: dict = field(default_factory=dict)
    target: dict = field(default_factory=dict)
    exponent: float = -0.07
    against: str | None = None
    seed: int = 0
    timeout: float | None = None

    def __post_init__(self) -> None:
        wanted = [*self.limits, *self.target, *filter(None, [self.against])]
        if unknown := [name for name in wanted if name not in FACTS]:
            raise InputError(
                f'ProxyTraining: limits, target and against must be of {", ".join(FACTS)}, got {unknown[0]!r}'
            )
        if len(self.target) > 1:
            raise InputError(f'ProxyTraining: target must be one, got {", ".join(self.target)}')
        for name, value in [*self.limits.items(), *self.target.items()]:
            check_positive(f'ProxyTraining: {name}', value)
        if self.shape is not None:
            check_shape('ProxyTraining: shape', self.shape)
        if wanted and self.shape is None:
            raise InputError(f'ProxyTraining: shape is needed, the image for which {wanted[0]} is counted')
        self.needs_latency = 'latency' in wanted

    @property
    def num_values(self) -> int:
        """How many values the sampler is told of a network."""
        return 2 if self.against else 1

    def check(self) -> None:
        """See :func:`check_fit`."""
        check_fit(self.space, self.config, self.options, tuple(self.shape or (256, 256)))

    def __call__(self, choices: Choices, folder: Path) -> dict:
        cfg = network_config(self.space, choices, self.config, self.options)
        facts = self.facts(cfg)
        beyond = [name for name, limit in self.limits.items() if facts[name] > limit]
        if beyond:
            return {'reward': 0.0, 'error': f'too large: {beyond[0]}', **facts}
        cfg.custom_hooks = [*cfg.get('custom_hooks', []), dict(type='mmdet.CheckInvalidLossHook', interval=10)]
        path = folder / 'config.py'
        cfg.dump(path)
        metrics = train(path, folder / 'training', self.seed, self.timeout)
        for weights in (folder / 'training').glob('*.pth'):
            weights.unlink()
        if metrics is None:
            return {'reward': 0.0, 'error': 'the loss is not finite', **facts}
        return {**self.reward(metrics, facts), **facts, **metrics}

    def facts(self, cfg: Config) -> dict:
        """:data:`FACTS` of a network, as far as they are needed."""
        if self.shape is None:
            return {}
        found: dict[str, float] = dict(zip(FACTS, count(cfg, tuple(self.shape)), strict=False))
        if self.needs_latency:
            found['latency'] = latency(cfg, tuple(self.shape))
        return found

    def reward(self, metrics: dict, facts: dict) -> dict:
        """The entry ``reward``, and ``values`` where there are two goals.

        Raises:
            InputError: where the evaluation has other metrics.
        """
        if not metrics:  # COCO's evaluation gives nothing at all where nothing was detected
            return {'reward': 0.0, 'error': 'the evaluation found nothing'}
        if self.metric not in metrics:
            raise InputError(f'ProxyTraining: metric {self.metric!r} is not among {", ".join(sorted(metrics))}')
        value = max(float(metrics[self.metric]), 0.0)  # and -1 where there was nothing to find
        if not math.isfinite(value):
            value = 0.0
        found: dict[str, Any] = {'reward': value}
        for name, limit in self.target.items():
            if facts[name] > limit:
                found['reward'] = value * (facts[name] / limit) ** self.exponent
        if self.against:
            found['values'] = [value, facts[self.against]]
        return found


def train(config: Path, work_dir: Path, seed: int = 0, timeout: float | None = None) -> dict | None:
    """Train a config in a process of its own; one that was killed goes on. Where it still runs, because only what had
    started it was killed, its end is waited for.

    Returns:
        Metrics of the last evaluation; None where the loss became infinite.

    Raises:
        Retry: the process was killed, or the machine failed.
        RuntimeError: the training failed by itself, e.g. by the memory that its network needs.
        InputError: the config cannot be trained.
    """
    command = [sys.executable, '-m', 'mmlight.cli', 'train', str(config), '--work-dir', str(work_dir)]
    command += ['--seed', str(seed), '--resume', '--no-report']
    log = config.with_name('training.log')
    with open(log, 'a', encoding='utf-8') as file:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)  # the training has the file too, and with it the lock
        begin = file.seek(0, os.SEEK_END)
        try:
            code = subprocess.run(command, stdout=file, stderr=file, timeout=timeout).returncode
        except subprocess.TimeoutExpired:
            raise Retry(f'the training took longer than {timeout} s') from None
    if code:
        with open(log, encoding='utf-8', errors='replace') as file:
            file.seek(begin)
            text = file.read()
        if 'loss become infinite or NaN' in text:
            return None
        _failed(code, text, log)
    return last_metrics(work_dir)


def _failed(code: int, text: str, log: Path) -> None:
    last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), '')
    if code == 2:
        raise InputError(f'trial {log.parent.name}: {last}')
    machine = code < 0 or code > 128 or any(sign in last for sign in MACHINE)
    if machine and 'out of memory' not in last:
        raise Retry(f'the training ended with exit code {code}, see {log}')
    raise RuntimeError(last)


def last_metrics(work_dir: Path) -> dict:
    """Numbers of the last evaluation that a training logged; none where it found nothing.

    Raises:
        InputError: where the training was not evaluated.
    """
    records = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        records += [json.loads(line) for line in path.read_text().splitlines()]
    evaluations = [record for record in records if 'loss' not in record]
    if not evaluations:
        raise InputError(f'ProxyTraining: no evaluation in the log of {work_dir}; is train_cfg.val_interval too large?')
    plain = ('step', 'time', 'data_time', 'memory', 'lr', 'base_lr', 'epoch', 'iter')
    return {k: v for k, v in evaluations[-1].items() if k not in plain and isinstance(v, (int, float))}
