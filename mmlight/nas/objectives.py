"""What a network is worth: by its multiply-adds alone, or by a proxy training."""

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from mmlight.engine.config import load_config
from mmlight.errors import InputError
from mmlight.nas.backends.base import Retry
from mmlight.nas.samplers.base import Choices
from mmlight.nas.spaces import SearchSpace


def network_config(space: SearchSpace, choices: Choices, config: str | os.PathLike, options: dict | None = None):
    """The config with the network that the choices describe."""
    cfg = load_config(config, options)
    cfg.pop('search', None)
    space.apply(space.decode(choices), cfg)
    return cfg


def count(cfg: Config, shape: tuple[int, int]) -> tuple[int, int]:
    """Parameters and multiply-adds of a config's model for an image of ``shape``, without memory for its weights."""
    from mmlight.analysis.complexity import build, measure

    found = measure(build(cfg).to('meta'), shape)
    return found.parameters, found.macs


@dataclass
class MACs:
    """Reward ``-|log(multiply-adds / target)|``: free, for trying a search out.

    Attributes:
        space: The space.
        config: Proxy config that takes the space's networks.
        target: Multiply-adds.
        shape: Height and width of the image.
    """

    space: SearchSpace
    config: str
    target: float
    shape: tuple[int, int]

    def __call__(self, choices: Choices, folder: Path) -> dict:
        parameters, macs = count(network_config(self.space, choices, self.config), tuple(self.shape))
        return {'reward': -abs(math.log(macs / self.target)), 'parameters': parameters, 'macs': macs}


@dataclass
class ProxyTraining:
    """Trains a network with an ordinary config, in a process of its own, and takes a metric of the last evaluation.

    What is too large is not trained. With a target of multiply-adds the reward is
    ``metric * (multiply-adds / target) ** exponent`` above the target and the metric below (MnasNet, arXiv 1807.11626,
    Sec. 3).

    Attributes:
        space: The space.
        config: The proxy's config: detector, data set and schedule.
        metric: Key of the evaluation.
        options: Further settings, as ``--cfg-options`` takes them.
        shape: Height and width of the image for which parameters and multiply-adds are counted.
        max_parameters, max_macs: Larger networks get the reward 0.
        target_macs: Multiply-adds above which the reward shrinks.
        exponent: How fast.
        seed: Of every training.
        timeout: Seconds after which a training counts as failed.
    """

    space: SearchSpace
    config: str
    metric: str = 'coco/bbox_mAP'
    options: dict = field(default_factory=dict)
    shape: tuple[int, int] | None = None
    max_parameters: float = math.inf
    max_macs: float = math.inf
    target_macs: float | None = None
    exponent: float = -0.07
    seed: int = 0
    timeout: float | None = None

    def __post_init__(self):
        needs_shape = self.target_macs is not None or min(self.max_parameters, self.max_macs) < math.inf
        if needs_shape and self.shape is None:
            raise InputError('ProxyTraining: shape is needed to count the multiply-adds that a limit or target is for')

    def __call__(self, choices: Choices, folder: Path) -> dict:
        cfg = network_config(self.space, choices, self.config, self.options)
        facts = {}
        if self.shape is not None:
            facts['parameters'], facts['macs'] = count(cfg, tuple(self.shape))
            if facts['parameters'] > self.max_parameters or facts['macs'] > self.max_macs:
                return {'reward': 0.0, 'error': 'too large', **facts}
        path = folder / 'config.py'
        cfg.dump(path)
        metrics = self.train(path, folder / 'training')
        if metrics is None:
            return {'reward': 0.0, 'error': 'the loss is not finite', **facts}
        if self.metric not in metrics:
            raise InputError(f'ProxyTraining: metric {self.metric!r} is not among {", ".join(sorted(metrics))}')
        reward = max(float(metrics[self.metric]), 0.0)  # COCO's evaluation says -1 where nothing was found
        if self.target_macs is not None and facts['macs'] > self.target_macs:
            reward *= (facts['macs'] / self.target_macs) ** self.exponent
        return {'reward': reward, **facts, **metrics}

    def train(self, config: Path, work_dir: Path) -> dict | None:
        """Metrics of the last evaluation; None where the loss became infinite.

        Raises:
            Retry: the process failed.
        """
        command = [sys.executable, '-m', 'mmlight.cli', 'train', str(config), '--work-dir', str(work_dir)]
        command += ['--seed', str(self.seed), '--resume']
        log = config.with_name('training.log')
        with open(log, 'a', encoding='utf-8') as file:
            try:
                code = subprocess.run(command, stdout=file, stderr=file, timeout=self.timeout).returncode
            except subprocess.TimeoutExpired:
                raise Retry(f'the training took longer than {self.timeout} s') from None
        text = log.read_text(errors='replace')
        if 'loss become infinite or NaN' in text or 'Loss is not finite' in text:
            return None
        if code == 2:
            raise InputError(f'trial {config.parent.name}: {text.strip().splitlines()[-1]}')
        if code != 0:
            raise Retry(f'the training ended with exit code {code}, see {log}')
        return last_metrics(work_dir)


def last_metrics(work_dir: Path) -> dict:
    """Numbers of the last evaluation that a training logged."""
    records = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        records += [json.loads(line) for line in path.read_text().splitlines()]
    evaluations = [record for record in records if any('/' in key or key in ('mIoU', 'aAcc') for key in record)]
    if not evaluations:
        raise Retry(f'no evaluation in the log of {work_dir}')
    return {key: value for key, value in evaluations[-1].items() if isinstance(value, (int, float))}


OBJECTIVES = {'MACs': MACs, 'ProxyTraining': ProxyTraining}
