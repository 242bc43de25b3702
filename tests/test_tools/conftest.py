"""Scripts run in this process."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT / 'tools' / 'analysis_tools', ROOT / 'benchmarks')


@pytest.fixture
def run(monkeypatch, capsys):
    """A script in this process: exit code, output, error output."""

    def call(script, *arguments):
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        code = 0
        capsys.readouterr()
        try:
            (path,) = [folder / script for folder in FOLDERS if (folder / script).exists()]
            runpy.run_path(str(path), run_name='__main__')
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return call
