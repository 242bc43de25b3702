"""Trials on a Ray cluster of two nodes on this machine, one of which dies."""

import time

import pytest

from benchmarks.sampler_problems import PlainSpace
from mmlight.errors import InputError
from mmlight.nas.backends import Inline, make_backend
from mmlight.nas.driver import SearchDriver
from mmlight.nas.samplers import RandomSampler


@pytest.fixture(autouse=True)
def ray(need):
    need('ray')


def objective():
    """Made here, for what is defined in a test module cannot be imported on the nodes."""

    def total(choices, folder):
        time.sleep(0.1)
        return {'reward': sum(choices) / 18}

    return total


def search(work_dir, backend, watch=None):
    space = PlainSpace(6, 4)
    trials = SearchDriver(space, RandomSampler(space), backend, work_dir, 24, 8, watch=watch).run()
    return [(t.number, t.choices, t.reward, t.source) for t in trials]


@pytest.fixture
def cluster():
    import ray
    from ray.cluster_utils import Cluster

    options = dict(num_cpus=1, object_store_memory=80 * 2**20)
    cluster = Cluster(initialize_head=True, head_node_args=options)
    cluster.second = cluster.add_node(**options)
    cluster.wait_for_nodes()
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.long
def test_two_nodes_one_of_which_dies(tmp_path, cluster):
    expected = search(tmp_path / 'inline', Inline(objective(), tmp_path / 'inline'))
    backend = make_backend('ray', objective(), tmp_path / 'ray', address=cluster.address)
    assert backend.capacity == 2

    def kill(progress):
        if progress.generation == 1:  # what runs on it now, or is queued there, must run again on the other
            for number in range(100, 104):
                backend.submit(number, (0,) * 6)
            time.sleep(0.15)
            cluster.remove_node(cluster.second, allow_graceful=False)

    found = search(tmp_path / 'ray', backend, kill)
    assert {choices: reward for _, choices, reward, _ in found} == {c: sum(c) / 18 for _, c, _, _ in found}
    assert len(found) == len(expected)

    def picky(choices, folder):
        (folder / f'tried {len(list(folder.iterdir()))}').touch()
        if choices[0] == 3:
            raise MemoryError('no memory')
        return {'reward': 1.0}

    place = make_backend('ray', picky, tmp_path / 'picky', address=cluster.address)
    space = PlainSpace(6, 4)
    failed = [t for t in SearchDriver(space, RandomSampler(space), place, tmp_path / 'picky', 12).run() if not t.reward]
    assert {trial.metrics['error'] for trial in failed} == {'MemoryError: no memory'}
    assert all(len(list((tmp_path / 'picky' / 'trials' / f'{t.number:06d}').iterdir())) == 1 for t in failed)

    limited = make_backend('ray', objective(), tmp_path / 'limited', workers=1, address=cluster.address)
    for number in range(3):
        limited.submit(number, (0,) * 6)
    seen = []
    while len(seen) < 3:
        assert len(limited.running) == 1
        seen += limited.poll(10.0)
    assert [outcome.number for outcome in seen] == [0, 1, 2]


def test_bad_input(tmp_path):
    total = objective()
    with pytest.raises(InputError, match='--workers: must be an integer of at least 1, got 0'):
        make_backend('ray', total, tmp_path, workers=0)
    with pytest.raises(InputError, match=r'--address 127.0.0.1:1: no Ray cluster answers .*refused'):
        make_backend('ray', total, tmp_path, address='127.0.0.1:1')
    with pytest.raises(InputError, match='--address auto: no Ray cluster answers'):
        make_backend('ray', total, tmp_path, address='auto')
    with pytest.raises(InputError, match='--address somewhere: no Ray cluster answers'):
        make_backend('ray', total, tmp_path, address='somewhere')
