"""SIGINT, SIGTERM and the death of the main process: one line, nothing lost, nothing left running."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from tiny_project import mmlight, project

from mmlight.cli import main
from mmlight.runtime.checkpoint import latest_checkpoint, load


def at(process: subprocess.Popen, moment: str) -> None:
    """Wait until the log says ``moment``."""
    for line in process.stdout:
        if moment in line:
            return
    raise AssertionError(f'ended before {moment!r}')


def train(folder, config: str, *options: str) -> list[str]:
    return ['train', str(project() / f'{config}.py'), '--work-dir', str(folder), '--no-report', *options]


def children(pid: int) -> list[int]:
    found = subprocess.run(['pgrep', '-P', str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return [child for number in map(int, found) for child in (number, *children(number))]


@pytest.mark.parametrize('send', [os.kill, os.killpg], ids=['main process', 'all processes'])
@pytest.mark.parametrize(
    ('config', 'moment'),
    [
        ('det', 'Epoch(train) [2][1/3]'),
        pytest.param('det', 'Epoch(train) [1][2/3]', marks=pytest.mark.long),  # the epoch's end comes next
        pytest.param('det_iter', 'Iter(train) [3/9]', marks=pytest.mark.long),
    ],
)
def test_save_on_term(config, moment, send, tmp_path):
    """A training that SIGTERM ended goes on where it stood, inside an epoch too, and where a cluster ends all."""
    process = mmlight(*train(tmp_path / 'a', config, '--save-on-term'))
    at(process, moment)
    send(process.pid, signal.SIGTERM)
    rest = process.stdout.read().splitlines()
    assert process.wait() == 143, rest[-5:]
    saved = latest_checkpoint(tmp_path / 'a')
    assert saved.name.startswith('iter_')
    assert rest[-1].startswith(f'terminated; saved {saved}; `mmlight train ')
    assert '--resume` goes on' in rest[-1]
    assert main(train(tmp_path / 'a', config, '--resume')) == 0
    assert main(train(tmp_path / 'b', config)) == 0
    states = [load(latest_checkpoint(tmp_path / name))['state_dict'] for name in 'ab']
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize('send', [os.kill, os.killpg], ids=['main process', 'all processes'])
@pytest.mark.parametrize(
    ('number', 'word', 'code'),
    [pytest.param(signal.SIGINT, 'interrupted', 130, marks=pytest.mark.long), (signal.SIGTERM, 'terminated', 143)],
)
def test_one_line_and_the_command_that_goes_on(number, word, code, send, tmp_path):
    process = mmlight(*train(tmp_path, 'det'))
    at(process, 'Epoch(train) [2][1/3]')
    workers = children(process.pid)
    send(process.pid, number)
    rest = process.stdout.read().splitlines()
    assert process.wait() == code, rest[-5:]
    assert 'Traceback (most recent call last):' not in rest
    assert rest[-1].startswith(f'{word}; the last checkpoint is {tmp_path}/epoch_1.pth; `mmlight train ')
    assert workers
    assert not any(map(alive, workers))


def alive(pid: int) -> bool:
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != 'linux', reason='the kernel of Linux kills them')
def test_no_orphans(tmp_path):
    """Data workers end with the main process, in the middle of loading a sample as well."""
    process = mmlight(*train(tmp_path, 'det'))
    at(process, 'Epoch(train) [1][1/3]')
    workers = children(process.pid)
    assert workers
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(1)
    assert not any(map(alive, workers))


POOLS = """
import multiprocessing, os, time
from mmlight.signals import term_raises

os.register_at_fork(after_in_child=lambda: time.sleep(0.05))  # so that some are ended before they are on their feet
with term_raises():
    for _ in range(20):
        with multiprocessing.get_context('fork').Pool(2) as pool:
            assert pool.map(abs, [-1]) == [1]
"""


def test_pools_of_libraries_end():
    """Such as that of mmdet's `eval_map`: their workers are ended by SIGTERM."""
    done = subprocess.run([sys.executable, '-c', POOLS], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''


CUT = """
import multiprocessing, socket, time
from multiprocessing import resource_sharer
from mmlight.runtime.workers import watch_workers

def worker(queue):
    resource_sharer.DupFd(0)
    queue.put(resource_sharer._resource_sharer._address)
    time.sleep(1)

watch_workers({})
queue = multiprocessing.Queue()
process = multiprocessing.Process(target=worker, args=(queue,))
process.start()
receiver = socket.socket(socket.AF_UNIX)
receiver.connect(queue.get(timeout=60))
receiver.close()  # as the main process does that a signal ends while it takes a batch over
process.join()
"""


def test_a_batch_that_nobody_takes_leaves_no_trace():
    done = subprocess.run([sys.executable, '-c', CUT], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 'Traceback' not in done.stderr
