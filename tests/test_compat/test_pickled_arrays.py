"""Files whose pickles use NumPy's names: values come through, nothing else does, and no file ends the process."""

import copy
import pickle
import random
import subprocess
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint  # noqa: F401  (its import tells torch.load of the arrays)

from mmlight.compat.checkpoint import load
from mmlight.compat.pickled_arrays import load_predictions
from mmlight.errors import InputError

ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.array([True, False]),
    np.zeros((0, 4), np.int16),
    np.array(3.5),
    np.array(['a', 'bc']),
    np.arange(3, dtype='>i4'),
    np.array([1 + 2j]),
]


@pytest.mark.parametrize('array', ARRAYS, ids=lambda array: f'{array.dtype}{array.shape}')
def test_arrays_and_scalars_of_checkpoints(tmp_path, array):
    shared = (array, [array])
    torch.save(
        {'a': array, 'scalar': array.flat[0] if array.size else 1, 'twice': [shared, shared]}, tmp_path / 'a.pth'
    )
    found = load(tmp_path / 'a.pth')
    for one in (found['a'], found['twice'][0][0], found['twice'][1][1][0]):
        assert one.dtype == array.dtype
        np.testing.assert_array_equal(one, array)
    if array.size:
        assert found['scalar'] == array.flat[0]
    found['a'][...] = array.flat[0] if array.size else 0  # writable


@pytest.mark.parametrize('array', ARRAYS, ids=lambda array: f'{array.dtype}{array.shape}')
def test_what_torch_load_gives_is_used_and_saved_as_an_array(tmp_path, array):
    """Who reads a file by torch.load itself; what they save anew is read without mmlight's help."""
    torch.save({'a': array}, tmp_path / 'a.pth')
    found = torch.load(tmp_path / 'a.pth', weights_only=True)
    np.testing.assert_array_equal(found['a'], array)
    assert found['a'].shape == array.shape
    assert type(copy.deepcopy(found)['a']) is np.ndarray
    torch.save(found, tmp_path / 'again.pth')
    again = torch.load(tmp_path / 'again.pth', weights_only=False)['a']
    assert type(again) is np.ndarray
    assert again.dtype == array.dtype.newbyteorder('=')  # NumPy reads a pickle so
    np.testing.assert_array_equal(again, array)


def test_histories_of_mmengine(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    torch.save({'message_hub': {'log_scalars': OrderedDict(loss=history)}}, tmp_path / 'a.pth')
    found = load(tmp_path / 'a.pth')['message_hub']['log_scalars']['loss']
    assert found.mean() == 1.5
    assert found.data[0].dtype == history.data[0].dtype


class Call:
    def __init__(self, function, *arguments, state=None):
        self.parts = (function, arguments, state) if state is not None else (function, arguments)

    def __reduce__(self):
        return self.parts


RECONSTRUCT = np.array([0]).__reduce__()[0]
HOSTILE = {
    'objects': np.array([{'a': 1}], dtype=object),
    'object dtype': np.dtype(object),
    'fields': np.array([(1, 2)], dtype=[('x', int), ('y', int)]),
    'shape beyond data': Call(RECONSTRUCT, np.ndarray, (0,), b'b', state=(1, (9999,), np.dtype('f8'), False, b'abc')),
    'negative shape': Call(RECONSTRUCT, np.ndarray, (0,), b'b', state=(1, (-1,), np.dtype('f8'), False, b'')),
    'flags': Call(np.dtype, 'f8', False, True, state=(3, '<', None, None, None, -1, -1, 63)),
    'constructor': Call(np.ndarray, (4,)),
    'scalar without data': Call(np.float64(0).__reduce__()[0], np.dtype('f8'), b''),
    'code': Call(print, 'code ran'),
}


@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_values_are_refused_or_harmless(tmp_path, name, capfd):
    torch.save({'state_dict': {}, 'x': HOSTILE[name]}, tmp_path / 'a.pth')
    (tmp_path / 'a.pkl').write_bytes(pickle.dumps([{'x': HOSTILE[name]}]))
    for read, file in ((load, 'a.pth'), (load_predictions, 'a.pkl')):
        if name == 'flags':  # the state is not taken over
            assert read(tmp_path / file)
            continue
        with pytest.raises(InputError, match=file):
            read(tmp_path / file)
    assert 'code ran' not in capfd.readouterr().out


FUZZ = """
import random, sys
from mmlight.compat.checkpoint import load
from mmlight.compat.pickled_arrays import load_predictions
from mmlight.errors import InputError
folder, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
read = 0
for kind, reader in (('pth', load), ('pkl', load_predictions)):
    whole = open(f'{folder}/whole.{kind}', 'rb').read()
    for number in range(count):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            at = rng.randrange(len(data))
            what = rng.randrange(4)
            if what == 0: data[at] = rng.randrange(256)
            elif what == 1: del data[at:at + rng.randrange(1, 40)]
            elif what == 2: data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
            else: data[at] ^= 1 << rng.randrange(8)
        with open(f'{folder}/fuzzed.{kind}', 'wb') as file: file.write(data)
        try:
            reader(f'{folder}/fuzzed.{kind}'); read += 1
        except InputError:
            pass
print('survived', read)
"""


def fuzz(folder, count, seed):
    content = {'w': torch.arange(5.0), 'a': np.arange(4.0), 's': np.float32(2), 'h': HistoryBuffer([1.0], [1])}
    torch.save(content, folder / 'whole.pth', _use_new_zipfile_serialization=False)
    (folder / 'whole.pkl').write_bytes(pickle.dumps([{'boxes': torch.ones(2, 4), 'a': np.arange(4), 's': np.int64(1)}]))
    return subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', FUZZ, str(folder), str(count), str(seed)], capture_output=True, text=True
    )


def test_damaged_files_are_refused_and_never_end_the_process(tmp_path):
    done = fuzz(tmp_path, 150, random.Random(0).randrange(1000))
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith('survived')


@pytest.mark.parametrize('sums', [True, False], ids=['sums', 'no sums'])
def test_a_zeroed_block_is_noticed(tmp_path, sums):
    """Where the file has sums of its parts, which it has unless torch is told to leave them out."""
    file = tmp_path / 'a.pth'
    script = f"""
import torch
if not {sums}:
    torch.serialization.set_crc32_options(False)
torch.save({{'w': torch.ones(50000)}}, {str(file)!r})
"""
    if not sums and not hasattr(torch.serialization, 'set_crc32_options'):
        pytest.skip('this torch always writes them')
    subprocess.run([sys.executable, '-c', script], check=True)
    assert load(file)['w'].sum() == 50000
    data = bytearray(file.read_bytes())
    data[100_000:104_096] = bytes(4096)
    file.write_bytes(data)
    if sums:
        with pytest.raises(InputError, match=r'a\.pth: not a checkpoint, or damaged .*CRC-32'):
            load(file)
    else:
        assert load(file)['w'].sum() < 50000


@pytest.mark.long
@pytest.mark.parametrize('seed', range(5))
def test_ten_thousand_damaged_files(tmp_path, seed):
    done = fuzz(tmp_path, 1000, seed)
    assert done.returncode == 0, done.stderr[-2000:]
