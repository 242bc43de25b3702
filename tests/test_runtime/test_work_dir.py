"""One training a folder; its seed goes on."""

import subprocess
import sys

import pytest
from tiny_project import project

from mmlight.cli import main
from mmlight.errors import InputError
from mmlight.runtime.checkpoint import load
from mmlight.runtime.work_dir import locked


def test_a_folder_is_locked_until_its_holder_ends(tmp_path):
    code = 'import sys\nfrom mmlight.runtime.work_dir import locked\n'
    code += f'with locked({str(tmp_path)!r}):\n print(1, flush=True)\n'
    holder = subprocess.Popen(
        [sys.executable, '-c', code + ' sys.stdin.read()'], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b'1\n'
    half, others = tmp_path / '.epoch_1.pth.5.part', tmp_path / 'mine.part'
    half.touch(), others.touch()
    with pytest.raises(InputError, match='another process'), locked(tmp_path):
        pass
    assert half.exists(), 'the holder may be writing it'
    holder.kill()
    holder.wait()
    with locked(tmp_path):
        assert not half.exists()
        assert others.exists()


def test_resume_keeps_the_seed_and_a_new_training_is_refused(tmp_path, capsys):
    arguments = ['train', str(project() / 'det.py'), '--no-report', '--work-dir', str(tmp_path)]
    assert main([*arguments, '--epochs', '1', '--seed', '3']) == 0
    assert main([*arguments, '--epochs', '2', '--resume']) == 0
    assert load(tmp_path / 'epoch_2.pth')['meta']['seed'] == 3
    kept = (tmp_path / 'epoch_2.pth').read_bytes()
    assert main(arguments) == 2
    assert 'epoch_2.pth of an earlier training' in capsys.readouterr().err
    assert (tmp_path / 'epoch_2.pth').read_bytes() == kept
