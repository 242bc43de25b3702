"""Batch norm statistics of one path: measured anew on training images, and everything put back afterwards."""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import all_reduce, get_rank, get_world_size
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from mmlight.runtime.reproducible import SeededBatch

RECALIBRATION = 2  # besides the two streams of random numbers of mmlight.runtime.reproducible


def training_batches(loader: DataLoader, batch_size: int, number: int, seed: int, draw: int = 0) -> Iterable[dict]:
    """Batches of training images, with the training's augmentation: the same for the same ``(seed, draw)``.

    Each process gets its share of them: of all ``number`` batches (rounded up to a multiple of the processes) every
    ``world_size``-th one.
    """
    world, rank = get_world_size(), get_rank()
    number = -(-number // world) * world
    batches = _batches(loader.dataset, batch_size, random.Random(f'{seed} {draw}'))
    chosen: list[Any] = [SeededBatch(next(batches), (RECALIBRATION, seed, draw, i)) for i in range(number)]
    return DataLoader(
        loader.dataset,
        batch_sampler=chosen[rank::world],
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
    )


def _batches(dataset: Any, size: int, rng: random.Random) -> Iterator[list[int]]:
    """Endless shuffled batches of images that are all tall or all wide, as mmdet trains."""
    waiting: dict[bool, list[int]] = {}
    while True:
        for index in rng.sample(range(len(dataset)), len(dataset)):
            info = dataset.get_data_info(index)
            group = waiting.setdefault(info.get('width', 0) < info.get('height', 0), [])
            group.append(index)
            if len(group) == size:
                yield group[:]
                group.clear()


@contextmanager
def recalibrated(model: Any, batches: Iterable[dict]) -> Iterator[None]:
    """Let the path that runs have its own batch norm statistics inside the ``with`` block.

    The statistics of backbone, neck and a one-stage head are reset, measured as plain averages over the batches (which
    pass through nothing else), and averaged over the processes. Afterwards all buffers are as they were found.
    Parameters do not change. The model is in evaluation mode within.

    Args:
        model: Detector with ``extract_feat``.
        batches: What its data loader yields.
    """
    parts = [getattr(model, name) for name in ('backbone', 'neck', 'bbox_head') if getattr(model, name, None)]
    head = parts[-1] if hasattr(model, 'bbox_head') else None
    norms = [m for part in parts for m in part.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    saved = [{name: buffer.clone() for name, buffer in norm.named_buffers()} for norm in norms]
    momenta = [norm.momentum for norm in norms]
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a cumulative average
            norm.train()
        with torch.no_grad():
            for batch in batches:
                features = model.extract_feat(model.data_preprocessor(batch, True)['inputs'])
                if head is not None and any(isinstance(module, _BatchNorm) for module in head.modules()):
                    head(features)
        for norm in norms:
            if norm.num_batches_tracked is not None and norm.num_batches_tracked > 0:  # of the path that runs
                all_reduce(norm.running_mean, 'mean')
                all_reduce(norm.running_var, 'mean')
        model.eval()
        yield
    finally:
        for norm, buffers, momentum in zip(norms, saved, momenta, strict=True):
            norm.momentum = momentum
            for name, buffer in norm.named_buffers():
                buffer.copy_(buffers[name])
        for module, mode in modes.items():
            module.training = mode
