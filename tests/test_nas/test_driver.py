"""The driver: what it evaluates, what it writes, and that a killed search goes on as if nothing had happened."""

import heapq
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from benchmarks.sampler_problems import PlainSpace
from mmlight.errors import InputError
from mmlight.nas.backends import Backend, Inline, Outcome, Processes, evaluation, make_backend
from mmlight.nas.backends.base import Retry
from mmlight.nas.driver import SearchDriver, read_trials
from mmlight.nas.log import TrialLog
from mmlight.nas.samplers import OptunaSampler, RandomSampler, RegularizedEvolution, RNNController
from mmlight.nas.spaces import NASFPNSpace

ROOT = Path(__file__).parents[2]


def total(choices, folder):
    return {'reward': sum(choices) / 18}


class Sleeping:
    def __init__(self, seconds):
        self.seconds = seconds

    def __call__(self, choices, folder):
        time.sleep(self.seconds)
        return total(choices, folder)


class FailsOnce:
    """Infrastructure that fails the first time for every trial, and always for one network."""

    def __call__(self, choices, folder):
        tried = (folder / 'tried').exists()
        (folder / 'tried').touch()
        if not tried or choices[0] == 3:
            raise Retry(f'no room for {choices}')
        return total(choices, folder)


class Anything(RandomSampler):
    """Proposes repeated and illegal networks too."""

    def ask(self, count, seed):
        rng = random.Random(seed)
        return [self.space.sample(rng) for _ in range(count)]


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
    log = TrialLog(tmp_path / 'trials.jsonl')
    assert summary(read_trials(log)) == summary(trials)
    entropies = [event['entropy'] for event in log.of('generation') if 'entropy' in event]
    assert entropies[-1] < entropies[0]
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
    trials = SearchDriver(space, Anything(space), Inline(objective, tmp_path), tmp_path, 10, 8).run()
    assert {(t.choices[0], t.reward) for t in trials} == {(0, 0.0), (1, 0.0), (2, 1.0)}


def test_the_best_network_was_evaluated(tmp_path):
    """Not an illegal one, whatever the rewards."""

    class Space(PlainSpace):
        def decode(self, choices):
            if choices[0]:
                raise InputError('illegal')
            return super().decode(choices)

    space = Space(3, 3)
    place = Inline(lambda choices, folder: {'reward': -1.0}, tmp_path)
    search = SearchDriver(space, Anything(space), place, tmp_path, 4, 8)
    search.run()
    assert search.best.reward == -1.0


def test_infrastructure_failures_are_tried_again_then_dropped(tmp_path):
    trials = driver(tmp_path, FailsOnce(), sampler=RandomSampler, max_samples=24).run()
    assert {t.reward is None for t in trials if t.choices[0] == 3} == {True}
    assert {t.reward is None for t in trials if t.choices[0] != 3} == {False}
    assert len(TrialLog(tmp_path / 'trials.jsonl').of('dropped')) == sum(t.choices[0] == 3 for t in trials)


@pytest.mark.parametrize('stop', [1, 5, 8, 13])
def test_resumed_equals_uninterrupted(tmp_path, stop):
    expected = driver(tmp_path / 'whole')
    trials = expected.run()

    class Stop(BaseException):
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


def test_processes_survive_dead_workers(tmp_path):
    """Nothing is lost or done twice."""
    pool = Processes(Sleeping(0.05), tmp_path, 2)
    search = driver(tmp_path, backend=pool)
    killed = []

    def kill(progress):
        if not killed:
            killed.append(pool.workers[0].process.pid)
            os.kill(killed[-1], signal.SIGKILL)

    search.watch = kill
    trials = search.run()
    assert len(killed) == 1
    assert len({trial.key for trial in trials}) == search.evaluated == 24


def test_parts_of_another_search_are_not_taken_up(tmp_path):
    driver(tmp_path, trials=8).run()
    (tmp_path / 'trials.jsonl').unlink()
    with pytest.raises(InputError, match=r'holds sampler_0.*pth of a search whose log is gone'):
        driver(tmp_path, trials=8)
    for path in tmp_path.glob('*.pth'):
        path.unlink()
    with pytest.raises(InputError, match='holds trials of a search whose log is gone'):
        driver(tmp_path, trials=8)


SCRIPT = """
import sys
from pathlib import Path
from mmlight.nas.backends import Processes
from test_driver import Sleeping, long_search

if __name__ == '__main__':
    work_dir = Path(sys.argv[1])
    long_search(work_dir, Processes(Sleeping(0.3), work_dir, 2)).run()
"""


def long_search(work_dir, backend):
    """One whose controller learns so slowly that nearly every network is a new one."""
    space = PlainSpace(12, 6)
    return SearchDriver(space, RNNController(space, lr=3.5e-4), backend, work_dir, 72, 8)


def workers_of(pid: int) -> list[int]:
    """Processes that a driver spawned, without multiprocessing's resource tracker."""
    children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    return [int(child) for child in children if b'spawn_main' in Path(f'/proc/{child}/cmdline').read_bytes()]


def events(path: Path) -> int:
    return path.read_bytes().count(b'"event": "done"') if path.exists() else 0


@pytest.mark.long
@pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='finds the workers in /proc')
def test_killed_twenty_times(tmp_path):
    """Driver and workers in turns, at random moments; nothing is lost, nothing that was logged is evaluated again."""
    trials = long_search(tmp_path / 'whole', Inline(total, tmp_path / 'whole')).run()
    script = tmp_path / 'search.py'
    script.write_text(SCRIPT)
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), str(Path(__file__).parent)])}
    rng, kills, log_file = random.Random(0), 0, tmp_path / 'cut' / 'trials.jsonl'
    process = None
    while kills < 20:
        if process is None:
            process = subprocess.Popen([sys.executable, str(script), str(tmp_path / 'cut')], env=environment)
        before = events(log_file)
        while events(log_file) < before + 1 + kills % 2:  # it is up and works
            assert process.poll() is None, 'the search ended before twenty kills'
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.5))
        if kills % 4:  # a driver takes its workers with it
            os.kill(rng.choice(workers_of(process.pid)), signal.SIGKILL)
        else:
            process.kill()
            process.wait()
            process = None
        kills += 1
    assert process.wait() == 0
    log, whole = TrialLog(log_file), TrialLog(tmp_path / 'whole' / 'trials.jsonl')
    for event in ('issued', 'done', 'generation'):
        assert len(log.of(event)) == len(whole.of(event))
    assert len({event['key'] for event in log.of('issued')}) == len(trials)
    assert log.of('dropped') == log.of('failed') == []
    last = sorted(tmp_path.glob('cut/sampler_*.pth'))[-1]  # of a sampler that saw four drivers
    shutil.copytree(tmp_path / 'cut', tmp_path / 'again', ignore=shutil.ignore_patterns('sampler_*'))
    replayed = long_search(tmp_path / 'again', Inline(total, tmp_path / 'again'))
    replayed.run()  # asks and tells all that the log has, evaluates nothing
    first, second = torch.load(last)['sampler']['network'], replayed.sampler.network.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in second)


@pytest.mark.long
def test_two_workers_are_nearly_twice_as_fast(tmp_path):
    def trials_per_second(workers):
        pool = Processes(Sleeping(1.0), tmp_path / str(workers), workers)
        driver(tmp_path / str(workers), backend=pool, sampler=RandomSampler, trials=16).run()
        times = sorted(event['time'] for event in TrialLog(tmp_path / str(workers) / 'trials.jsonl').of('done'))
        return (len(times) - workers) / (times[-1] - times[workers - 1])

    assert trials_per_second(2) / trials_per_second(1) > 1.8


class Simulated(Backend):
    """Workers that need no time; they report one by one."""

    def __init__(self, workers):
        self.capacity = workers
        self.waiting = []

    def submit(self, number, choices):
        self.waiting.append((number, choices))

    def poll(self, timeout):
        number, choices = self.waiting.pop(0)
        return [Outcome(number, {'reward': sum(choices) / 100})]


@pytest.mark.long
@pytest.mark.parametrize('sampler', [RNNController, RegularizedEvolution])
def test_time_of_the_driver_with_a_thousand_workers(tmp_path, sampler):
    space = NASFPNSpace()
    search = SearchDriver(space, sampler(space), Simulated(1000), tmp_path, 2000, 1000)
    start = time.process_time()
    trials = search.run()
    assert (time.process_time() - start) / len(trials) < 0.020


@pytest.mark.parametrize('error', [Retry('the disk is full'), RuntimeError('out of memory')])
def test_equal_failures_in_a_row_end_the_search(tmp_path, error):
    def objective(choices, folder):
        if broken and len(calls) >= 4:
            raise error
        calls.append(choices)
        return total(choices, folder)

    calls, broken = [], True
    with pytest.raises(InputError, match=rf'8 trials in a row could not be evaluated: .*{error}'):
        driver(tmp_path, objective, trials=16).run()
    broken = False  # once the cause is mended none is missing
    whole = driver(tmp_path / 'whole', trials=16).run()
    assert summary(driver(tmp_path, objective, trials=16).run()) == summary(whole)
    assert len(calls) == 16


class Picky:
    """Networks that begin with 3 fail: in this process or in a worker."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, choices, folder):
        (folder / f'tried {len(list(folder.iterdir()))}').touch()
        if choices[0] == 3:
            raise MemoryError(f'no memory for {choices[0]}')
        return {'reward': 0.5 + sum(choices) / 36}


@pytest.mark.parametrize('name', ['inline', 'local'])
def test_a_network_s_own_failure_is_told_and_not_repeated(tmp_path, name):
    told = []

    class Listens(RandomSampler):
        def tell(self, batch, rewards):
            told.extend(zip(batch, rewards, strict=True))
            return {}

    backend = make_backend(name, Picky(tmp_path), tmp_path)
    search = driver(tmp_path, sampler=Listens, backend=backend, trials=12)
    failed = [trial for trial in search.run() if trial.choices[0] == 3]
    assert failed
    assert all(dict(told)[trial.choices] == 0.0 and trial.source is None for trial in failed)
    assert {trial.metrics['error'] for trial in failed} == {'MemoryError: no memory for 3'}
    assert all(len(list((tmp_path / 'trials' / f'{t.number:06d}').iterdir())) == 1 for t in failed)
    assert search.evaluated == 12
    assert summary(read_trials(TrialLog(tmp_path / 'trials.jsonl'))) == summary(search.history)


class Hangs:
    def __call__(self, choices, folder):
        if not (folder / 'tried').exists() and folder.name == '000008':
            (folder / 'tried').touch()
            time.sleep(600)
        return total(choices, folder)


def test_a_trial_that_hangs_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, 'SLOW_SECONDS', 5.0)  # a loaded machine's pauses are no hang
    backend = Processes(Hangs(), tmp_path, 1)
    trials = driver(tmp_path, backend=backend, sampler=RandomSampler, trials=12).run()
    assert all(trial.reward is not None for trial in trials)
    assert (tmp_path / 'trials' / '000008' / 'tried').exists()


class Machine(Backend):
    """Workers that take a simulated time."""

    def __init__(self, workers, seconds):
        self.capacity, self.seconds = workers, seconds
        self.now = self.busy = 0.0
        self.ends = []

    def submit(self, number, choices):
        seconds = self.seconds()
        self.busy += seconds
        heapq.heappush(self.ends, (self.now + seconds, number, choices))

    def poll(self, timeout):
        self.now, number, choices = heapq.heappop(self.ends)
        return [Outcome(number, total(choices, None))]


@pytest.mark.parametrize(('stragglers', 'least'), [(0.0, 0.95), (0.02, 0.9)])
def test_workers_are_busy(tmp_path, stragglers, least):
    rng = random.Random(0)
    machine = Machine(4, lambda: rng.lognormvariate(0, 0.3) * (8 if rng.random() < stragglers else 1))
    driver(tmp_path, backend=machine, sampler=RegularizedEvolution, trials=300).run()
    assert machine.busy / (4 * machine.now) >= least


def test_two_goals(tmp_path):
    """The sampler is told both values, the log and the report go by the first."""
    space = PlainSpace(5, 3)
    sampler = OptunaSampler(space, 'NSGAIISampler', ('maximize', 'minimize'), dict(population_size=8))

    def objective(choices, folder):
        return {'reward': sum(choices) / 10, 'values': [sum(choices) / 10, choices[0]]}

    SearchDriver(space, sampler, Inline(objective, tmp_path), tmp_path, 16, 8).run()
    assert all(trial.values[1] in (0, 1, 2) for trial in sampler.study.trials)
    assert {trial.values[1] for trial in sampler.study.best_trials} <= {0, 1, 2}


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


def test_reading_a_log_changes_nothing(tmp_path):
    driver(tmp_path, trials=8).run()
    path = tmp_path / 'trials.jsonl'
    with open(path, 'a') as file:
        file.write('{"event": "is')  # a search that runs just now
    content = path.read_bytes()
    assert len(TrialLog(path).of('done')) == 8
    assert path.read_bytes() == content


def test_torn_header(tmp_path):
    (tmp_path / 'trials.jsonl').write_text('{"event": "sea')
    assert len(driver(tmp_path, trials=8).run()) >= 8
    assert TrialLog(tmp_path / 'trials.jsonl').events[0]['space'] == 'PlainSpace'


def test_bad_input(tmp_path):
    with pytest.raises(InputError, match='trials must be an integer of at least 1, got 0'):
        driver(tmp_path, trials=0)
    with pytest.raises(InputError, match='max_samples must be an integer of at least 1, got 0'):
        driver(tmp_path, max_samples=0)
    path = tmp_path / 'log' / 'trials.jsonl'
    path.parent.mkdir()
    path.write_text(json.dumps({'event': 'search'}) + '\nno json\n{}\n')
    with pytest.raises(InputError, match=r"trials.jsonl, line 2: no JSON: b'no json'"):
        TrialLog(path)
