"""Training whose randomness is a function of (seed, rank, step), so that a resumed run repeats the uninterrupted one.

mmengine's checkpoints hold weights, optimizer, schedules and counters, but no random state; a resumed run therefore
sees other augmentations and samples other proposals. Storing the generators' states would not be enough: loader workers
run ahead of the training by an amount that depends on timing. So nothing is stored. Every generator (Python, NumPy,
PyTorch) is seeded afresh before each sample is loaded and before each training step, from the position in the training.
As a by-product the result does not depend on the number of workers.
"""

import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch.utils.data import DataLoader

from mmlight.registry import HOOKS

DATA, MODEL = 0, 1  # the two streams of random numbers


def seed_all(*key: int) -> None:
    """Seed Python's, NumPy's and PyTorch's generators with a hash of ``key`` (non-negative integers)."""
    words = np.random.SeedSequence(key).generate_state(4)
    np.random.seed(words)
    random.seed(words.tobytes())
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))


class SeededBatch:
    """The indices of one batch; going through them seeds the generators before each one is handed out.

    The loader's worker (or the main process, without workers) does ``[dataset[i] for i in batch]``, so each sample is
    loaded and augmented with generators of its own seed.
    """

    def __init__(self, indices: list[int], key: tuple[int, ...]) -> None:
        self.indices = indices
        self.key = key

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        for position, index in enumerate(self.indices):
            seed_all(*self.key, position)
            yield index


class SeededBatchSampler:
    """Wraps a batch sampler: numbers its batches from ``number`` on and yields them as :class:`SeededBatch`.

    Args:
        batch_sampler: what the loader used before.
        key: seed and rank.

    Attributes:
        number: of the next batch, counted from the start of the training.
        skip: batches of ``batch_sampler`` to pass over, the next time only.
    """

    def __init__(self, batch_sampler: Any, key: tuple[int, ...]) -> None:
        self.batch_sampler = batch_sampler
        self.sampler: Any = getattr(batch_sampler, 'sampler', None)  # mmengine's hooks call its `set_epoch`
        self.key = key
        self.number = 0
        self.skip = 0

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[SeededBatch]:
        skip, self.skip = self.skip, 0
        for indices in islice(self.batch_sampler, skip, None):
            batch = SeededBatch(list(indices), (*self.key, self.number))
            self.number += 1
            yield batch


class _ResumedIterator(_InfiniteDataloaderIterator):
    """Stands where mmengine's iterator does; the first ``steps`` calls return nothing.

    mmengine resumes by loading every batch of the past once more, which takes hours in a long training; here the
    sampler starts at the right place instead, and the loop's fast-forward runs empty.
    """

    def __init__(self, dataloader: DataLoader, steps: int) -> None:
        super().__init__(dataloader)
        self._past = steps

    def __next__(self) -> object:
        if self._past > 0:
            self._past -= 1
            return None
        return super().__next__()


@HOOKS.register_module()
class SeedByStep(Hook):
    """Seed all generators before each sample and each training step from (seed, rank, step).

    With it, training that was killed and resumed gives the same weights as training that was not (same machine, same
    number of processes; on a GPU as far as its kernels are deterministic). Epoch-based and iteration-based loops.

    Not covered: transforms that keep samples between calls (``CachedMosaic``, ``CachedMixUp``) begin with an empty
    cache after a resumption.
    """

    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Put the seeded batch sampler into the train loader and, for iterations, start it where training resumes."""
        loop = runner.train_loop
        self.key = (runner.seed or 0, runner.rank)
        if isinstance(loop, IterBasedTrainLoop):
            loop.dataloader_iterator = None  # ends its workers; it has drawn from the samplers already, so:
            loop.dataloader = _with_new_samplers(runner, loop.dataloader)
        self.batches = SeededBatchSampler(loop.dataloader.batch_sampler, (DATA, *self.key))
        # DataLoader refuses a new batch sampler because an iterator under way would not see it; none is
        vars(loop.dataloader)['batch_sampler'] = self.batches
        if isinstance(loop, IterBasedTrainLoop):
            loop.dataloader_iterator = self._continue(loop.dataloader, runner.iter)

    def before_train_epoch(self, runner: Runner) -> None:
        """Number the epoch's batches, past those that a checkpoint from inside the epoch had seen."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            return  # numbered in `before_train`, and already loading ahead
        seen = runner.iter - runner.epoch * len(self.batches)
        self.batches.skip = seen if 0 < seen < len(self.batches) else 0
        self.batches.number = runner.iter

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: object = None) -> None:
        seed_all(MODEL, *self.key, runner.iter)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the image size that mmdet's ``BatchSyncRandomResize`` drew for the next steps."""
        sizes = {name: list(module._input_size) for name, module in _batch_resizers(runner)}
        if sizes:
            checkpoint['batch_sizes'] = sizes

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner._resume:
            sizes = checkpoint.get('batch_sizes', {})
            for name, module in runner.model.named_modules():
                if name in sizes:
                    module._input_size = tuple(sizes[name])

    def _continue(self, loader: DataLoader, steps: int) -> _ResumedIterator:
        """An endless iterator over ``loader`` whose first real batch is that of step ``steps``."""
        epoch, self.batches.number, self.batches.skip = 0, steps, steps
        sampler = self.batches.sampler
        if not hasattr(sampler, '_infinite_indices'):  # a finite one is begun again at each end, with `set_epoch`
            epoch, self.batches.skip = divmod(steps, len(self.batches))
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(epoch)
        iterator = _ResumedIterator(loader, steps)
        iterator._epoch = epoch
        return iterator


class _AsIs:
    """A config value that is handed on instead of being copied."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __deepcopy__(self, memo: dict) -> object:
        return self.value


def _with_new_samplers(runner: Runner, loader: DataLoader) -> DataLoader:
    """``loader`` built once more, on the same data set."""
    settings = runner._train_dataloader
    if not isinstance(settings, dict):  # a loader made by hand
        return loader
    settings = {key: value for key, value in settings.items() if key != 'num_batch_per_epoch'}
    settings['dataset'] = _AsIs(loader.dataset)
    diff_rank_seed = runner._randomness_cfg.get('diff_rank_seed', False)
    return runner.build_dataloader(settings, seed=runner.seed, diff_rank_seed=diff_rank_seed)


def _batch_resizers(runner: Runner) -> list[tuple[str, Any]]:
    return [item for item in runner.model.named_modules() if getattr(item[1], '_input_size', None)]
