"""The script that draws feature graphs, run as a user runs it."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'draw_graph.py')


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [SCRIPT, *map(str, arguments)])
    runpy.run_path(SCRIPT, run_name='__main__')


def test_damaged_tables(monkeypatch, tmp_path):
    names = [f'r0-sp53{damage}' for damage in ('', '-no-short', '-no-long', '-sequential')]
    run(monkeypatch, *names, '--spread', '--out', tmp_path / 'damages.png')
    assert (tmp_path / 'damages.png').stat().st_size > 10_000
    run(monkeypatch, 'r0-sp53-sequential', '--out', tmp_path / 'sequential.dot')
    assert (tmp_path / 'sequential.dot').read_text().count(' [constraint=false]') == 15


def test_only_pyramids_are_repeated(monkeypatch, tmp_path, capsys):
    run(monkeypatch, 'bifpn', '--repeat', '2', '--out', tmp_path / 'bifpn.dot')
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, 'fish', '--repeat', '2', '--out', tmp_path / 'fish.dot')
    assert stop.value.code == 2
    assert 'error: --repeat 2: fish is a network, only pyramids can be repeated' in capsys.readouterr().err
