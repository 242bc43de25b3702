"""The journeys of a user: scripts of at most six commands, run outside the repository where the wheel is installed."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
JOURNEYS = sorted((ROOT / 'tests' / 'journeys').glob('*.sh'))
MADE = {
    'comparison': ['report/index.html', 'report/figures.json', 'a/report/per_class.csv'],
    'deployment': ['net.onnx', 'found/predictions.json', 'thundernet_snet49_sample.torchscript'],
    'own_detection': ['sheet.png', 'run/report/confusion_matrix.png', 'found/predictions.json'],
    'own_masks': ['sheet.png', 'run/report/per_class.csv', 'found/predictions.json'],
    'search': ['work_dirs/pyramid/best_0.py', 'run/epoch_1.pth'],
    'stock_config': ['run/my.py', 'run/report/per_class.csv'],
}


def test_a_journey_is_six_commands_at_most():
    assert [path.stem for path in JOURNEYS] == sorted(MADE)
    for path in JOURNEYS:
        text = re.sub(r"<<'END'\n.*?\nEND\n", '\n', path.read_text(), flags=re.DOTALL)
        commands = [line for line in text.splitlines() if line and not line.startswith(('#', 'cat >'))]
        assert 4 <= len(commands) <= 6, path


@pytest.mark.long
@pytest.mark.parametrize('script', JOURNEYS, ids=lambda path: path.stem)
def test_journey(installed, script, tmp_path):
    command = ['bash', '-euo', 'pipefail', script]
    done = subprocess.run(command, cwd=tmp_path, env=installed, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert 'Traceback' not in done.stderr
    assert [name for name in MADE[script.stem] if not (tmp_path / name).is_file()] == []
