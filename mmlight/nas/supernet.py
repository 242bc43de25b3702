"""What a pyramid is worth by the weights of a supernet, trained once for all pyramids of the space."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from mmlight import checks
from mmlight.errors import InputError
from mmlight.nas.backends.base import Retry
from mmlight.nas.objectives import ProxyTraining, check_fit, network_config, train
from mmlight.nas.one_shot.checks import check_data
from mmlight.nas.one_shot.loops import evaluate
from mmlight.nas.one_shot.paths import find_supernet
from mmlight.nas.one_shot.recalibration import recalibrated, training_batches
from mmlight.nas.samplers.base import Choices
from mmlight.registry import OBJECTIVES
from mmlight.runtime import checkpoint as ckpt
from mmlight.runtime.config import load_config
from mmlight.runtime.inference import build
from mmlight.runtime.run import RunOptions, build_runner, plain_model, prepare

FOLDER = 'supernet'


@OBJECTIVES.register_module()
@dataclass
class SupernetAccuracy(ProxyTraining):
    """Trains the config, whose neck is a :class:`mmlight.models.necks.SuperFPN`, once; a network is then evaluated with
    the weights that it shares, on the images of ``val_dataloader``, with norms measured anew.

    What is beyond a limit is not evaluated. The other arguments are those of :class:`ProxyTraining`.

    Attributes:
        recalibration: Training batches to measure the statistics of norms on.
        num_images: Of the validation, to evaluate on; default: all.

    Raises:
        InputError: as :class:`ProxyTraining`.
    """

    against: str | None = 'macs'
    recalibration: int = 16
    num_images: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive_int('SupernetAccuracy', recalibration=self.recalibration)
        if self.num_images is not None:
            checks.positive_int('SupernetAccuracy', num_images=self.num_images)

    def check(self) -> None:
        """Build the smallest and the largest network, before anything is trained.

        Raises:
            InputError: where they do not fit, and for a config that trains no supernet.
        """
        cfg = load_config(self.config, self.options)
        if 'space' not in (cfg.model.get('neck') or {}):
            raise InputError('SupernetAccuracy: model.neck must be a mmlight.SuperFPN')
        if all(not str(hook.get('type')).endswith('PathSamplingHook') for hook in cfg.get('custom_hooks') or []):
            raise InputError('SupernetAccuracy: custom_hooks must have a mmlight.PathSamplingHook')
        for choices in self.space.extremes():
            check_fit(self.space, self.config, self.options, tuple(self.shape or (256, 256)), choices)

    def prepare(self, work_dir: Path) -> None:
        """Train the supernet, or what is left of the training.

        Raises:
            InputError: it failed.
        """
        folder = work_dir / FOLDER
        if (folder / 'supernet.pth').is_file():
            return
        folder.mkdir(parents=True, exist_ok=True)
        cfg = load_config(self.config, self.options)
        cfg.pop('search', None)
        cfg.dump(folder / 'config.py')
        print(f'training the supernet; its log is {folder / "training.log"}', flush=True)
        try:
            metrics = train(folder / 'config.py', folder / 'training', self.seed, self.timeout)
        except Retry as error:
            raise InputError(f'SupernetAccuracy: {error}') from None
        if metrics is None:
            raise InputError(f'SupernetAccuracy: the loss is not finite, see {folder / "training.log"}')
        trained = ckpt.latest_checkpoint(folder / 'training')
        if trained is None:
            raise InputError(f'SupernetAccuracy: no checkpoint in {folder / "training"}')
        state = ckpt.load(trained)
        _write({'state_dict': ckpt.weights_of(state)}, folder / 'supernet.pth')

    def __call__(self, choices: Choices, folder: Path) -> dict:
        facts = self.facts(network_config(self.space, choices, self.config, self.options))
        beyond = [name for name, limit in self.limits.items() if facts[name] > limit]
        if beyond:
            return {'reward': 0.0, 'error': f'too large: {beyond[0]}', **facts}
        with _open(folder.parents[1] / FOLDER).running(choices, self.recalibration, self.seed) as supernet:
            metrics = supernet.evaluate(self.num_images)
        return {**self.reward(metrics, facts), **facts, **metrics}

    def save(self, choices: Choices, work_dir: Path, path: Path) -> None:
        """Write the weights of a network, cut out of the supernet's, with norms measured anew."""
        network = build(network_config(self.space, choices, self.config, self.options))
        with _open(work_dir / FOLDER).running(choices, self.recalibration, self.seed) as supernet:
            _write({'state_dict': supernet.cut(network)}, path)


@lru_cache(1)
def _open(folder: Path) -> '_Supernet':
    return _Supernet(folder)


class _Supernet:
    """The trained supernet with its data."""

    def __init__(self, folder: Path):
        cfg = prepare(str(folder / 'config.py'), RunOptions(folder / 'evaluation'))
        cfg.log_level = 'ERROR'
        with redirect_stdout(io.StringIO()):  # of pycocotools
            self.runner = build_runner(cfg, 'train')
        self.model = plain_model(self.runner)
        self.model.load_state_dict(ckpt.weights_of(ckpt.load(folder / 'supernet.pth')))
        self.loader, self.val = self.runner.train_loop.dataloader, self.runner.val_loop
        check_data({}, self.loader.dataset, self.val.dataloader.dataset)

    @contextmanager
    def running(self, choices: Choices, recalibration: int, seed: int) -> Iterator['_Supernet']:
        """A path, with norms of its own."""
        find_supernet(self.model).set_path(choices)
        size = self.runner.cfg.train_dataloader.batch_size
        with recalibrated(self.model, training_batches(self.loader, size, recalibration, seed)):
            yield self

    def evaluate(self, num_images: int | None) -> dict:
        """Metrics of the path that runs."""
        return evaluate(self.model, self.val.dataloader, self.val.evaluator, num_images)

    def cut(self, network: torch.nn.Module) -> dict[str, torch.Tensor]:
        """The weights of a detector with the path that runs; its head reads the first channels."""
        shared = self.model.state_dict()
        neck = find_supernet(self.model).cut()[0].state_dict()
        shared |= {f'neck.{name}': tensor for name, tensor in neck.items()}
        wanted = {name: tensor.shape for name, tensor in network.state_dict().items()}
        return {name: shared[name][tuple(map(slice, shape))].cpu().clone() for name, shape in wanted.items()}


def _write(content: dict, path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    ckpt.AtomicBackend().put(buffer.getvalue(), path)
