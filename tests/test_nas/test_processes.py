"""Worker processes: none outlives its driver, no training its worker."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_driver import total

from mmlight.nas.backends import Processes

ROOT = Path(__file__).parents[2]


class Starts:
    """Starts a process at the first try, as a training does, and waits for it."""

    def __call__(self, choices, folder):
        if not (folder / 'pid').exists():
            child = subprocess.Popen(['sleep', '60'])
            (folder / 'part').write_text(str(child.pid))
            (folder / 'part').rename(folder / 'pid')
            child.wait()
        return total(choices, folder)


def runs(pid: int) -> bool:
    try:
        return ') Z ' not in Path(f'/proc/{pid}/stat').read_text()
    except FileNotFoundError:
        return False


SLOW = """
import multiprocessing, os, time
from pathlib import Path

def objective(choices, folder):
    pass

if multiprocessing.parent_process():
    Path('part').write_text(str(os.getpid()))
    os.rename('part', 'pid')
    time.sleep(60)
"""


@pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='looks into /proc')
def test_a_worker_that_imports_dies_with_its_driver(tmp_path):
    (tmp_path / 'slow.py').write_text(SLOW)
    begins = 'from mmlight.nas.backends import Processes; Processes(slow.objective, ".", 1)'
    script = f'import slow, time; {begins}; time.sleep(60)'
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join([str(ROOT), str(tmp_path)])}
    with subprocess.Popen([sys.executable, '-c', script], env=environment, cwd=tmp_path) as process:
        while not (tmp_path / 'pid').exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
    end = time.monotonic() + 2
    while runs(worker := int((tmp_path / 'pid').read_text())) and time.monotonic() < end:
        time.sleep(0.05)
    assert not runs(worker)


@pytest.mark.skipif(not Path('/proc/self/task').exists(), reason='looks into /proc')
def test_a_dead_worker_s_training_ends_before_the_next_try(tmp_path):
    pool, pid = Processes(Starts(), tmp_path, 1), tmp_path / 'trials' / '000000' / 'pid'
    try:
        pool.submit(0, (0,) * 6)
        while not pid.exists():
            time.sleep(0.05)
        os.kill(pool.workers[0].process.pid, signal.SIGKILL)
        while not (outcomes := pool.poll(1.0)):
            pass
        assert (outcomes[0].metrics, outcomes[0].error) == (None, 'the worker died')
        end = time.monotonic() + 10
        while runs(int(pid.read_text())) and time.monotonic() < end:
            time.sleep(0.05)
        assert not runs(int(pid.read_text()))
    finally:
        pool.close()
