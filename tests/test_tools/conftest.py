"""Scripts run in this process."""

import runpy
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools' / 'analysis_tools'


@pytest.fixture
def run(monkeypatch, capsys):
    """A script in this process: exit code, output, error output."""

    def call(script, *arguments):
        monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
        code = 0
        capsys.readouterr()
        try:
            runpy.run_path(str(TOOLS / script), run_name='__main__')
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return call
