"""CR-NAS's two searches as training loops: ``train_cfg=dict(type='mmlight.StageSearchLoop', ...)``."""

import hashlib
import random
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path as File
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, get_rank, get_world_size
from mmengine.evaluator import Evaluator
from mmengine.runner import BaseLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from mmlight import checks
from mmlight.errors import InputError
from mmlight.nas.log import TrialLog
from mmlight.nas.one_shot import result
from mmlight.nas.one_shot.checks import check_data
from mmlight.nas.one_shot.paths import check_config, find_supernet, plain_model
from mmlight.nas.one_shot.recalibration import recalibrated, training_batches
from mmlight.nas.one_shot.searchers import Path, evaluations, greedy_beam
from mmlight.nas.spaces.reallocation import StageSpace
from mmlight.registry import LOOPS
from mmlight.runtime import checkpoint as ckpt


class SearchLoop(BaseLoop):
    """What both searches share: the checks, the log, scoring, progress.

    Candidates are scored on the images of ``val_dataloader`` by ``val_evaluator``. Every score is in
    ``WORK_DIR/search.jsonl`` before the next is computed; the same command goes on where it was stopped.

    Args:
        runner, dataloader: Given by the runner; the latter is the train data loader.
        metric: Of the evaluation, by which candidates are ranked.
        num_images: Of the validation split, to be scored on; default: all.
        seed: Of everything random.
        targets: Configs (paths or shipped names) that are written with the found backbone.
        random_weights: Allow a search without ``load_from``.
    """

    kind: str

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        metric: str = 'coco/bbox_mAP',
        num_images: int | None = None,
        seed: int = 0,
        targets: Sequence[str] = (),
        random_weights: bool = False,
    ):
        super().__init__(runner, dataloader)
        if num_images is not None:
            checks.positive_int(type(self).__name__, num_images=num_images)
        if runner.val_loop is None:
            raise InputError(f'{type(self).__name__}: needs val_dataloader, val_evaluator and val_cfg to score with')
        self.model = plain_model(runner)
        self.supernet = find_supernet(self.model)
        check_config(runner.cfg)
        check_data(runner.cfg, self.dataloader.dataset, runner.val_loop.dataloader.dataset)
        if runner.cfg.get('load_from'):
            ckpt.check_fits(self.model, ckpt.load(runner.cfg.load_from, 'load_from'), runner.cfg.load_from)
        elif not random_weights:
            raise InputError(
                f'{type(self).__name__}: load_from must name the checkpoint of the trained supernet '
                '(random_weights=True searches without)'
            )
        self.targets = result.load_targets(targets)
        self.metric, self.num_images, self.seed = metric, num_images, seed
        self.work_dir = File(runner.work_dir)
        self.epoch = self.iter = 0  # the runner reads these
        self.max_epochs = self.max_iters = self.val_interval = self.val_begin = 1

    def run(self) -> nn.Module:
        """Search, or what is left of it, and write the result."""
        self._open_log()
        self.started, self.fresh = time.monotonic(), 0
        self.done: set[tuple[Path, int]] = set()
        self.search()
        return self.runner.model

    @abstractmethod
    def search(self) -> None:
        """The search itself."""

    @abstractmethod
    def identity(self) -> dict:
        """What a resumed search must share, besides what is common to all."""

    def _open_log(self) -> None:
        images = [self._val.dataset.get_data_info(i)['img_path'] for i in range(len(self._val.dataset))]
        header = dict(
            search=type(self).__name__,
            metric=self.metric,
            num_images=self.num_images or len(images),
            images=_digest(path.encode() for path in map(str, images)),
            seed=self.seed,
            supernet=_digest(_bytes(self.model)),
            **self.identity(),
        )
        known: list = [None]
        if get_rank() == 0:
            try:
                self.log = TrialLog(self.work_dir / 'search.jsonl', header)
                known = [self.log.of('done')]
            except InputError as error:  # the other processes wait for an answer
                known = [str(error)]
        broadcast_object_list(known)
        if isinstance(known[0], str):
            raise InputError(known[0])
        self.scores = {(tuple(event['path']), event['draw']): event['score'] for event in known[0]}

    @property
    def _val(self) -> Any:
        return self.runner.val_loop.dataloader

    @property
    def _evaluator(self) -> Evaluator:
        return self.runner.val_loop.evaluator

    def note(self, event: dict) -> None:
        """Append to the log, on the first process."""
        if get_rank() == 0:
            self.log.append(event)

    def score(self, path: Path, total: int, compute: Callable[[], dict], draw: int = 0) -> float:
        """The score of a path out of the log, or computed and logged."""
        self.done.add((path, draw))
        if (path, draw) not in self.scores:
            start = time.monotonic()
            metrics = compute()
            if self.metric not in metrics:
                raise InputError(f'{type(self).__name__}: metric {self.metric!r} is not among {", ".join(metrics)}')
            now, score = time.monotonic(), float(metrics[self.metric])
            self.scores[path, draw] = score
            self.fresh += 1
            self.note(dict(event='done', path=path, draw=draw, score=score, metrics=metrics, seconds=now - start))
            best = max(value for (_, again), value in self.scores.items() if not again)
            left = (now - self.started) / self.fresh * (total - len(self.done))
            self.runner.logger.info(
                f'{self.kind} {len(self.done)} of {total} {path}: {score:.4f} ({now - start:.1f} s), '
                f'best {best:.4f}, {_duration(left)} left'
            )
        return self.scores[path, draw]

    def evaluate(self, before_batch: Callable[[int], None] | None = None) -> dict:
        """Metrics of the path that runs.

        Args:
            before_batch: Called with the position of each batch's first image, the same for any number of processes
                where a batch is one image.
        """
        return evaluate(self.model, self._val, self._evaluator, self.num_images, before_batch)


def evaluate(
    model: nn.Module,
    loader: DataLoader,
    evaluator: Evaluator,
    num_images: int | None = None,
    before_batch: Callable[[int], None] | None = None,
) -> dict:
    """Metrics of a model on the first ``num_images`` of a data loader; ``before_batch`` as in
    :meth:`SearchLoop.evaluate`."""
    world = get_world_size()
    step = (loader.batch_size or 1) * world
    dataset: Any = loader.dataset
    images = min(num_images or len(dataset), len(dataset))
    mode = model.training
    model.eval()
    with torch.no_grad():
        for number, batch in enumerate(loader):
            if number * step >= images:
                break
            if before_batch is not None:
                before_batch(number * step + get_rank())
            step_of_model: Any = model.val_step
            evaluator.process(data_samples=step_of_model(batch), data_batch=batch)
    model.train(mode)
    return evaluator.evaluate(images)


@LOOPS.register_module()
class StageSearchLoop(SearchLoop):
    """Scores every eligible stage allocation with the weights that it inherits from a stage supernet, each with batch
    norm statistics of its own (arXiv 1912.11234, Sec. 3.1).

    Args:
        budget: Sum of the (weighted) blocks; None: any.
        weights, tolerance: Of :class:`mmlight.nas.spaces.StageSpace`.
        max_params: Largest number of parameters of the backbone, at the supernet's width; the budget does not bound it.
        recalibration: Training batches to measure batch norm statistics on; 0 keeps the supernet's, which favour
            allocations of middling depth.
        repeats: How often the supernet's anchor is scored, each time with statistics of other batches: differences
            below the spread are noise.
        kwargs: Of :class:`SearchLoop`.

    Raises:
        InputError: for a budget without an allocation, and for what :class:`SearchLoop` checks.
    """

    kind = 'allocation'

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        budget: float | None = None,
        weights: Sequence[float] | None = None,
        tolerance: float = 0.0,
        max_params: int | None = None,
        recalibration: int = 200,
        repeats: int = 3,
        **kwargs: Any,
    ):
        checks.int_from(0, 'StageSearchLoop', recalibration=recalibration, repeats=repeats)
        super().__init__(runner, dataloader, **kwargs)
        self.space = StageSpace(self.supernet.choices, budget, weights, tolerance)
        self.max_params, self.recalibration, self.repeats = max_params, recalibration, repeats
        self.batch_size = self.dataloader.batch_sampler.batch_size
        self.costs = result.StageCosts(self.supernet, runner.cfg)
        members = list(self.space.members())
        if max_params is not None:
            members = [path for path in members if self.costs(path)[0] <= max_params]
            if not members:
                least = min(self.costs(path)[0] for path in self.space.members())
                raise InputError(f'StageSearchLoop: max_params {max_params} leaves no allocation, the least is {least}')
        self.members = members

    def identity(self) -> dict:
        space = self.space
        return dict(
            choices=space.choices,
            budget=space.budget,
            weights=space.weights,
            tolerance=space.tolerance,
            max_params=self.max_params,
            recalibration=self.recalibration,
            batch_size=self.batch_size,
        )

    def search(self) -> None:
        anchor = self.supernet.anchor
        extra = {(anchor, draw) for draw in range(self.repeats)} - {(path, 0) for path in self.members}
        total = len(self.members) + len(extra)
        scored = [(path, self._score(path, total)) for path in self.members]
        noise = [self._score(anchor, total, draw) for draw in range(self.repeats)]
        scored.sort(key=lambda item: -item[1])  # stable: of equal ones the first in the space
        if get_rank() == 0:
            result.write_stage_search(self, scored, noise)

    def _score(self, path: Path, total: int, draw: int = 0) -> float:
        return self.score(path, total, lambda: self._compute(path, draw), draw)

    def _compute(self, path: Path, draw: int) -> dict:
        before = self.supernet.path
        self.supernet.set_path(path)
        try:
            if not self.recalibration:
                return self.evaluate()
            batches = training_batches(self.dataloader, self.batch_size, self.recalibration, self.seed, draw)
            with recalibrated(self.model, batches):
                return self.evaluate()
        finally:
            self.supernet.set_path(before)


@LOOPS.register_module()
class GreedyOpSearchLoop(SearchLoop):
    """Decides the dilation of block after block, keeping the best ``width`` beginnings; the rest of the network is
    drawn afresh for each mini-batch (arXiv 1912.11234, Sec. 3.3).

    All candidates of a block see the same completions. Each mini-batch is another network, so batch norm has the
    supernet's running statistics.

    Args:
        width: Beginnings that are kept.
        kwargs: Of :class:`SearchLoop`.
    """

    kind = 'candidate'

    def __init__(self, runner: Runner, dataloader: DataLoader | dict, width: int = 3, **kwargs: Any):
        super().__init__(runner, dataloader, **kwargs)
        checks.positive_int('GreedyOpSearchLoop', width=width)
        self.width = width
        self.ops = self.supernet.choices[0]
        if any(choices != self.ops for choices in self.supernet.choices):
            raise InputError('GreedyOpSearchLoop: needs a supernet with the same choices at each position')

    def identity(self) -> dict:
        return dict(blocks=len(self.supernet.choices), ops=self.ops, width=self.width)

    def search(self) -> None:
        blocks = len(self.supernet.choices)
        total = evaluations(blocks, len(self.ops), self.width)

        def score(path: Path) -> float:
            return self.score(path, total, lambda: self._compute(path))

        steps = []
        for step in greedy_beam(blocks, self.ops, score, self.width):
            steps.append(step)
            self.runner.logger.info(f'block {step.block + 1} of {blocks}: {step.beam[0][0]} {step.beam[0][1]:.4f}')
        if get_rank() == 0:
            result.write_op_search(self, steps)

    def _compute(self, begun: Path) -> dict:
        before = self.supernet.path

        def complete(position: int) -> None:
            rest = self.supernet.sample_path(random.Random(f'{self.seed} {len(begun)} {position}'))[len(begun) :]
            self.supernet.set_path(begun + rest)

        try:
            return self.evaluate(complete)
        finally:
            self.supernet.set_path(before)


def _bytes(model: nn.Module) -> Iterator[bytes]:
    for name, tensor in sorted(model.state_dict().items()):
        yield name.encode()
        yield tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours} h {minutes:02d} min' if hours else f'{minutes} min {seconds:02d} s'
