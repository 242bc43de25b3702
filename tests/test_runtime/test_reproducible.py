import random

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, SequentialSampler

from mmlight.runtime.reproducible import SeededBatchSampler, seed_all


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


def test_streams_of_the_key_are_distinct():
    seen = set()
    for key in ((0, 1, 0, 5), (1, 1, 0, 5), (0, 1, 1, 5), (0, 1, 0, 6)):
        seed_all(*key)
        seen.add((random.random(), float(np.random.rand()), float(torch.rand(()))))
    assert len(seen) == 4
