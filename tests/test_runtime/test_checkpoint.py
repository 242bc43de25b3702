import os
import signal

import pytest
import torch
from mmengine.fileio import get_file_backend
from torch import nn

from mmlight.errors import InputError
from mmlight.runtime.checkpoint import AtomicBackend, check_fits, latest_checkpoint


def save(path, **content):
    torch.save({'meta': {}, **content}, path)


def test_backend_is_found_by_name(tmp_path):
    backend = get_file_backend(str(tmp_path), backend_args={'backend': 'mmlight.atomic'})
    assert isinstance(backend, AtomicBackend)


def test_a_process_killed_while_saving_leaves_the_previous_checkpoint(tmp_path):
    """With one checkpoint kept: mmengine removes the old one first, then writes."""
    save(tmp_path / 'epoch_1.pth', epoch=1)
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_1.pth'))
    child = os.fork()
    if child == 0:  # no exit handler, no fixture teardown: it is killed
        os.replace = lambda source, target: os.kill(os.getpid(), signal.SIGKILL)
        backend = AtomicBackend()
        backend.remove(str(tmp_path / 'epoch_1.pth'))
        backend.put(b'x' * 1000, str(tmp_path / 'epoch_2.pth'))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not (tmp_path / 'epoch_2.pth').exists()
    assert latest_checkpoint(tmp_path) == tmp_path / 'epoch_1.pth'


def test_outdated_checkpoint_goes_after_the_new_one_is_there(tmp_path):
    backend = AtomicBackend()
    (tmp_path / 'old.pth').write_bytes(b'old')
    backend.remove(str(tmp_path / 'old.pth'))
    assert (tmp_path / 'old.pth').exists()
    AtomicBackend().put(b'new', str(tmp_path / 'new.pth'))
    assert [path.name for path in tmp_path.iterdir()] == ['new.pth']


def test_latest_falls_back_to_the_newest_readable(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    for step in (2, 10):
        save(tmp_path / f'iter_{step}.pth', step=step)
    assert latest_checkpoint(tmp_path) == tmp_path / 'iter_10.pth'
    (tmp_path / 'iter_10.pth').write_bytes((tmp_path / 'iter_10.pth').read_bytes()[:200])
    (tmp_path / 'last_checkpoint').write_text('/somewhere/else/iter_10.pth')
    assert latest_checkpoint(tmp_path) == tmp_path / 'iter_2.pth'


def test_latest_follows_a_moved_folder(tmp_path):
    for step in (2, 10):
        save(tmp_path / f'iter_{step}.pth')
    (tmp_path / 'last_checkpoint').write_text('/somewhere/else/iter_2.pth')
    assert latest_checkpoint(tmp_path) == tmp_path / 'iter_2.pth'


def test_check_fits():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    state = model.state_dict()
    assert check_fits(model, {'state_dict': {f'module.{k}': v for k, v in state.items()}}, 'x') is None
    assert check_fits(model, state, 'x') is None, 'a bare state_dict'

    extra = check_fits(model, {**state, 'aux.weight': torch.zeros(1)}, 'x')
    assert extra == 'checkpoint x: 6 of the 6 weights of Sequential fit; 1 unexpected (aux.weight)'
    shaped = {**state, '0.weight': torch.zeros(4, 2)}
    with pytest.raises(InputError, match=r'1 of another shape \(0.weight \(4, 2\) instead of \(3, 2\)\)'):
        check_fits(model, shaped, 'x')
    assert '5 of the 6' in check_fits(model, shaped, 'x', complete=False)
    with pytest.raises(InputError, match='0 of the 6'):
        check_fits(model, {'other': torch.zeros(1)}, 'x', complete=False)
