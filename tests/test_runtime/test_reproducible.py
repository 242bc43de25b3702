import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from mmlight.runtime.reproducible import SeedByStep, SeededBatchSampler, seed_all


class Noise(Dataset):
    """Each item: its index and a number from each of the three generators."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return index, random.random(), float(np.random.rand()), float(torch.rand(()))


def batches(workers: int = 0, number: int = 0, skip: int = 0, seed: int = 1) -> list:
    sampler = SeededBatchSampler(BatchSampler(SequentialSampler(range(10)), 4, drop_last=False), (0, seed, 0))
    sampler.number, sampler.skip = number, skip
    return list(DataLoader(Noise(), batch_sampler=sampler, num_workers=workers, collate_fn=list))


def test_numbers_depend_on_the_position_only():
    expected = batches()
    random.random(), np.random.rand(), torch.rand(3)
    assert batches() == expected
    assert batches(workers=3) == expected
    assert batches(skip=1, number=1) == expected[1:]


def test_numbers_differ_between_samples_batches_epochs_and_seeds():
    first = [item for batch in batches() for item in batch]
    for column in (1, 2, 3):
        assert len({item[column] for item in first}) == 10
    assert first[0] != batches(number=3)[0][0]
    assert first[0] != batches(seed=2)[0][0]


def test_iterating_a_batch_in_the_main_process_does_not_need_its_length_twice():
    sampler = SeededBatchSampler(BatchSampler(SequentialSampler(range(10)), 4, drop_last=False), (0, 0, 0))
    found = list(sampler)
    assert [len(batch) for batch in found] == [4, 4, 2]
    assert [list(batch) for batch in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert sampler.number == 3


def test_batches_are_skipped_once():
    sampler = SeededBatchSampler(BatchSampler(SequentialSampler(range(10)), 4, drop_last=False), (0, 0, 0))
    sampler.skip = 2
    assert [batch.indices for batch in sampler] == [[8, 9]]
    assert [batch.indices for batch in sampler] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_streams_of_the_key_are_distinct():
    seen = set()
    for key in ((0, 1, 0, 5), (1, 1, 0, 5), (0, 1, 1, 5), (0, 1, 0, 6)):
        seed_all(*key)
        seen.add((random.random(), float(np.random.rand()), float(torch.rand(()))))
    assert len(seen) == 4


def drawn(steps: int = 2, **where) -> tuple[list, list[float]]:
    """What the hook's loader and the model's steps draw at a place of the training: `seed`, `rank`, `iter`."""
    loader = DataLoader(Noise(), batch_size=5, collate_fn=list)
    place = dict(seed=1, rank=0, iter=0, epoch=0) | where
    runner = SimpleNamespace(**place, train_loop=SimpleNamespace(dataloader=loader))
    hook = SeedByStep()
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    data = [item[1:] for batch in runner.train_loop.dataloader for item in batch]
    model = []
    for _ in range(steps):
        hook.before_train_iter(runner, 0)
        model += [random.random(), float(np.random.rand()), float(torch.rand(()))]
        runner.iter += 1
    return data, model


@pytest.mark.parametrize('other', [dict(rank=1), dict(seed=2), dict(iter=2, epoch=1)], ids=str)
def test_ranks_seeds_and_steps_draw_differently(other):
    """Two processes with equal augmentations would halve the variety of a batch, and none would notice."""
    (data, model), (other_data, other_model) = drawn(), drawn(**other)
    assert set(data).isdisjoint(other_data)
    assert set(model).isdisjoint(other_model)
    assert drawn(**other) == (other_data, other_model)


def test_a_missing_seed_is_0():
    assert drawn(seed=None) == drawn(seed=0)
