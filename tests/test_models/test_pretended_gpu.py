"""Runs :mod:`pretended_families` in a process of its own: the pretended device is there for all of a process."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    'chosen', ['thundernet or dfanet', pytest.param('not thundernet and not dfanet', marks=pytest.mark.long)]
)
def test_families_on_the_pretended_gpu(chosen):
    pytest.importorskip('torch.utils.backend_registration')
    command = [
        sys.executable,
        '-m',
        'pytest',
        '-q',
        '-k',
        chosen,
        str(Path(__file__).with_name('pretended_families.py')),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    if 'skipped' in done.stdout and ' passed' not in done.stdout:
        pytest.skip('this torch has no such devices')
    assert done.returncode == 0, done.stdout[-3000:]
