"""The driver: what it evaluates, what it writes, and that a killed search goes on as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mmlight.errors import InputError
from mmlight.nas.backends import Inline, Processes
from mmlight.nas.backends.base import Retry
from mmlight.nas.benchmarks import PlainSpace
from mmlight.nas.driver import SearchDriver, read_trials
from mmlight.nas.log import TrialLog
from mmlight.nas.samplers import RandomSampler, RNNController

ROOT = Path(__file__).parents[2]


def total(choices, folder):
    return {'reward': sum(choices) / 18}


class Sleeping:
    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self, choices, folder):
        time.sleep(self.seconds)
        return total(choices, folder)


class FailsTwice:
    """Infrastructure that fails the first two times for every trial, and always for one network."""

    def __call__(self, choices, folder):
        tries = folder / 'tries'
        count = int(tries.read_text()) if tries.exists() else 0
        tries.write_text(str(count + 1))
        if count < 2 or choices[0] == 3:
            raise Retry('no room')
        return total(choices, folder)


def driver(tmp_path, objective=total, trials=24, sampler=None, backend=None, **options):
    space = PlainSpace(6, 4)
    sampler = sampler(space) if sampler else RNNController(space)
    return SearchDriver(space, sampler, backend or Inline(objective, tmp_path), tmp_path, trials, 8, **options)


def summary(trials):
    return [(t.number, t.choices, t.reward, t.source) for t in trials]


def test_rewards_rise_and_everything_is_logged(tmp_path):
    seen = []
    trials = driver(tmp_path, trials=100, max_samples=400, watch=seen.append).run()
    assert seen[-1].best > 0.85
    assert seen[-1].mean > seen[0].mean
    assert seen[-1].samples == len(trials)
    log = TrialLog(tmp_path / 'trials.jsonl', {})
    assert summary(read_trials(log)) == summary(trials)
    assert log.of('generation')[-1]['entropy'] < log.of('generation')[0]['entropy']
    assert len(list(tmp_path.glob('sampler_*.pth'))) == 3


def test_a_repeated_network_is_not_evaluated_again(tmp_path):
    calls = []

    def objective(choices, folder):
        calls.append(choices)
        return total(choices, folder)

    space = PlainSpace(2, 2)
    search = SearchDriver(space, RandomSampler(space), Inline(objective, tmp_path), tmp_path, 10, 8, max_samples=32)
    trials = search.run()
    assert len(calls) == len(set(calls)) == 4
    assert len(trials) == 32
    assert all(t.reward == sum(t.choices) / 18 for t in trials)


def test_illegal_networks_and_nan_teach_with_reward_0(tmp_path):
    class Space(PlainSpace):
        def decode(self, choices):
            if choices[0] == 0:
                raise InputError('illegal')
            return super().decode(choices)

    def objective(choices, folder):
        assert choices[0] != 0
        return {'reward': float('nan') if choices[0] == 1 else 1.0}

    space = Space(3, 3)
    trials = SearchDriver(space, RandomSampler(space), Inline(objective, tmp_path), tmp_path, 10, 8).run()
    assert {(t.choices[0], t.reward) for t in trials} == {(0, 0.0), (1, 0.0), (2, 1.0)}


def test_infrastructure_failures_are_tried_again_then_dropped(tmp_path):
    trials = driver(tmp_path, FailsTwice(), sampler=RandomSampler, max_samples=24).run()
    assert {t.reward is None for t in trials if t.choices[0] == 3} == {True}
    assert {t.reward is None for t in trials if t.choices[0] != 3} == {False}
    assert len(TrialLog(tmp_path / 'trials.jsonl', {}).of('dropped')) == sum(t.choices[0] == 3 for t in trials)


@pytest.mark.parametrize('stop', [1, 5, 8, 13])
def test_resumed_equals_uninterrupted(tmp_path, stop):
    expected = driver(tmp_path / 'whole')
    trials = expected.run()

    class Stop(Exception):
        pass

    calls = []

    def objective(choices, folder):
        calls.append(choices)
        if len(calls) == stop + 1:
            raise Stop
        return total(choices, folder)

    with pytest.raises(Stop):
        driver(tmp_path / 'cut', objective).run()
    with open(tmp_path / 'cut' / 'trials.jsonl', 'a') as file:
        file.write('{"event": "done", "tri')  # torn by the kill
    resumed = driver(tmp_path / 'cut', objective)
    assert summary(resumed.run()) == summary(trials)
    assert len(calls) == len(set(calls)) + 1  # only the one that was interrupted
    for name, value in expected.sampler.network.state_dict().items():
        assert torch.equal(value, resumed.sampler.network.state_dict()[name])


def test_processes_give_the_same_and_survive_dead_workers(tmp_path):
    expected = summary(driver(tmp_path / 'inline').run())
    pool = Processes(Sleeping(0.05), tmp_path / 'pool', 2)
    search = driver(tmp_path / 'pool', backend=pool)
    killed = []

    def kill(progress):
        if len(killed) < 2:
            killed.append(pool.workers[len(killed)].process.pid)
            os.kill(killed[-1], signal.SIGKILL)

    search.watch = kill
    assert summary(search.run()) == expected
    assert len(killed) == 2


SCRIPT = """
import sys
from pathlib import Path
from mmlight.nas.backends import Processes
from mmlight.nas.benchmarks import PlainSpace
from mmlight.nas.driver import SearchDriver
from mmlight.nas.samplers import RNNController
from test_driver import Sleeping

if __name__ == '__main__':
    work_dir = Path(sys.argv[1])
    space = PlainSpace(6, 4)
    SearchDriver(space, RNNController(space), Processes(Sleeping(0.03), work_dir, 2), work_dir, 60, 8).run()
"""


@pytest.mark.long
def test_killed_twenty_times(tmp_path):
    """Driver and workers, at random moments; nothing is lost, nothing evaluated twice."""
    expected = summary(driver(tmp_path / 'whole', trials=60).run())
    script = tmp_path / 'search.py'
    script.write_text(SCRIPT)
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
    rng = random.Random(0)
    command = [sys.executable, str(script), str(tmp_path / 'cut')]
    for _ in range(20):
        process = subprocess.Popen(command, env=environment)
        try:
            process.wait(rng.uniform(2, 9))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    subprocess.run(command, env=environment, check=True)
    log = TrialLog(tmp_path / 'cut' / 'trials.jsonl', {})
    assert summary(read_trials(log)) == expected
    done = [event['trial'] for event in log.of('done')]
    assert len(done) == len(set(done))


@pytest.mark.long
def test_two_workers_are_nearly_twice_as_fast(tmp_path):
    def seconds(workers):
        pool = Processes(Sleeping(0.3), tmp_path / str(workers), workers)
        search = driver(tmp_path / str(workers), backend=pool, sampler=RandomSampler, trials=16)
        while any(not (w.process.is_alive()) for w in pool.workers):
            time.sleep(0.01)
        for worker in pool.workers:  # they are up once they answer
            worker.connection.send((10**6 + id(worker) % 1000, (0,) * 6))
        for worker in pool.workers:
            worker.connection.recv()
        start = time.monotonic()
        search.run()
        return time.monotonic() - start

    assert seconds(1) / seconds(2) > 1.5  # of a sleep: it does not depend on the machine's load


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(seed=1), r'has seed 0, the config has 1'),
        (dict(sampler=RandomSampler), r"has sampler 'RNNController', the config has 'RandomSampler'"),
    ],
)
def test_resume_of_another_search(tmp_path, change, message):
    driver(tmp_path, trials=8).run()
    with pytest.raises(InputError, match=message):
        driver(tmp_path, trials=8, **change)


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match='trials must be an integer of at least 1, got 0'):
        driver(tmp_path, trials=0)
    path = tmp_path / 'log' / 'trials.jsonl'
    path.parent.mkdir()
    path.write_text(json.dumps({'event': 'search'}) + '\nno json\n{}\n')
    with pytest.raises(InputError, match=r"trials.jsonl, line 2: no JSON: b'no json'"):
        TrialLog(path, {})
