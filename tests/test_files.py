"""Files appear whole or not at all, nothing half-written stays, and no command writes over what it reads."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_project import environment, project

from mmlight.cli import main
from mmlight.data.masks import find_masks, write_pairs
from mmlight.data.rendering import OpenImage
from mmlight.data.survey import survey
from mmlight.errors import InputError
from mmlight.files import _swept, folder_beside, put, sweep


def half_written(path: Path) -> Path:
    """What a process leaves that is killed while it writes ``path``."""
    child = os.fork()
    if not child:  # no exit handler, no fixture teardown: it is killed
        os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        put(b'half', path)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    _swept.cache_clear()  # as in the next process
    (part,) = path.parent.glob('.*.part')
    return part


def test_a_kill_keeps_what_was_there(tmp_path):
    put('earlier', tmp_path / 'made' / 'file.json')
    part = half_written(tmp_path / 'made' / 'file.json')
    assert (tmp_path / 'made' / 'file.json').read_text() == 'earlier'
    assert put(b'later', tmp_path / 'made' / 'another.json').read_bytes() == b'later'
    assert not part.exists()


def test_a_kill_leaves_its_folder_to_the_next_start(tmp_path):
    """As an export that is killed while its file is verified."""
    child = os.fork()
    if not child:
        with folder_beside(tmp_path / 'net.onnx') as folder:
            put(b'half', folder / 'onnx' / 'net.onnx')
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    _swept.cache_clear()
    with folder_beside(tmp_path / 'net.onnx') as folder:
        assert list(tmp_path.iterdir()) == [folder]
        code = f'from pathlib import Path; from mmlight.files import sweep; sweep(Path({str(tmp_path)!r}))'
        subprocess.run([sys.executable, '-c', code], env=environment(), check=True)
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_is_being_written_stays(tmp_path, monkeypatch):
    code = f'from pathlib import Path; from mmlight.files import sweep; sweep(Path({str(tmp_path)!r}))'
    command = [sys.executable, '-c', code]
    monkeypatch.setattr(os, 'fsync', lambda _: subprocess.run(command, env=environment(), check=True))
    others = tmp_path / 'own.part'
    others.touch()
    put(b'whole', tmp_path / 'file', sync=True)
    assert (tmp_path / 'file').read_bytes() == b'whole'
    sweep(tmp_path)
    assert others.exists()


@pytest.mark.parametrize('length', [200, 255])
def test_long_names(length, tmp_path):
    assert put(b'', tmp_path / ('é' * (length // 2))).exists()


def masks(root: Path) -> Path:
    """Photos and masks of the values 0 and 255, which are rewritten as 0 and 1."""
    for kind, value in (('images', 90), ('masks', 255)):
        (root / kind).mkdir(parents=True)
        for number in range(4):
            pixels = np.zeros((32, 32), np.uint8)
            pixels[:16] = value
            Image.fromarray(pixels).save(root / kind / f'{number}.png')
    return root


def write_masks(folder: Path) -> Path:
    found = find_masks(masks(folder / 'data'))
    return next(iter(write_pairs(found, folder / 'cache').values()))


def decode_image(folder: Path) -> Path:
    Image.new('RGB', (8, 8)).save(folder / 'photo.jpg')
    OpenImage(cache_dir=str(folder / 'cache')).transform({'img_path': str(folder / 'photo.jpg')})
    return next((folder / 'cache').glob('*.npy'))


@pytest.mark.parametrize('cache', [write_masks, decode_image])
def test_caches_are_cleaned_at_the_next_start(cache, tmp_path):
    part = half_written(tmp_path / 'cache' / 'another')
    _swept.cache_clear()
    made = cache(tmp_path)
    assert made.stat().st_size
    assert not part.exists()


def test_output_on_a_full_disk(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['mmlight', 'weights', 'list'])
    with open('/dev/full', 'w') as full:
        monkeypatch.setattr(sys, 'stdout', full)
        assert main() == 2
    assert capsys.readouterr().err == 'error: output: No space left on device\n'


def refused(capsys, *arguments: object) -> str:
    assert main([str(one) for one in arguments]) == 2
    return capsys.readouterr().err


def test_pictures_do_not_replace_images(capsys):
    data = project() / 'data'
    folder = next((data / 'leftImg8bit' / 'train').iterdir())
    before = {path: path.read_bytes() for path in folder.iterdir()}
    error = refused(capsys, 'browse', project() / 'det.py', '--not-show', '--output-dir', folder)
    assert error == f'error: --output-dir {folder}: holds images of the data set, which would be replaced\n'
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_predictions_do_not_replace_images(capsys, tmp_path):
    image = tmp_path / 'out' / 'pictures' / 'a.jpg'
    image.parent.mkdir(parents=True)
    Image.new('RGB', (64, 64)).save(image)
    before = image.read_bytes()
    error = refused(capsys, 'predict', project() / 'det.py', image, '--weights', 'initial', '--out', tmp_path / 'out')
    assert error == f'error: --out {tmp_path}/out: its pictures would replace the image {image}\n'
    assert image.read_bytes() == before


def test_a_conversion_keeps_its_source(capsys, tmp_path):
    (tmp_path / 'a.pth').write_bytes(b'weights')
    (tmp_path / 'link.pth').symlink_to(tmp_path / 'a.pth')
    error = refused(capsys, 'convert', 'effdet', tmp_path / 'a.pth', tmp_path / 'link.pth')
    assert error == f'error: DST {tmp_path}/link.pth: is SRC itself, which would be lost; name another file\n'
    assert (tmp_path / 'a.pth').read_bytes() == b'weights'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['benchmark', 'CONFIG', '--json', 'FOLDER'], '--json FOLDER: is a folder'),
        (['benchmark', 'CONFIG', '--page', 'FOLDER/no.md'], 'FOLDER/no.md: no such file'),
        (['compare', 'CONFIG', '--out', 'FOLDER/file'], '--out FOLDER/file: cannot be created (File exists)'),
    ],
)
def test_where_results_go_is_looked_at_first(arguments, message, capsys, tmp_path, monkeypatch):
    """Not when minutes of measuring are over."""
    import mmlight.measure.benchmark
    import mmlight.measure.report

    for module in (mmlight.measure.benchmark, mmlight.measure.report):
        monkeypatch.setattr(module, 'benchmark', lambda *_: pytest.fail('measures'))
    (tmp_path / 'file').touch()
    names = {'CONFIG': str(project() / 'det.py'), 'FOLDER': str(tmp_path)}
    given = [names.get(one, one.replace('FOLDER', names['FOLDER'])) for one in arguments]
    assert refused(capsys, *given) == f'error: {message.replace("FOLDER", names["FOLDER"])}\n'


def test_a_corrected_copy_is_whole_or_absent(tmp_path, monkeypatch):
    root = masks(tmp_path / 'data')
    with pytest.raises(InputError, match='lies in the data folder'):
        survey(root, fix=root / 'fixed')

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr('mmlight.data.survey._copy_mask', interrupted)
        with pytest.raises(KeyboardInterrupt):
            survey(root, fix=tmp_path / 'fixed')
    assert [path.name for path in tmp_path.iterdir()] == ['data']
    survey(root, fix=tmp_path / 'fixed')
    assert len(list((tmp_path / 'fixed').rglob('*.png'))) == 8


def test_images_of_one_name_keep_their_masks(tmp_path):
    """From folders of one name, and in two formats."""
    from mmlight.data.survey import _copy_mask

    files = ['a/x/1.png', 'b/x/1.png', 'c/x/1.png', 'c/x/1.jpg']
    for number, name in enumerate(files):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new('L', (8, 8), number).save(tmp_path / name)
        for kind in ('images', 'masks'):
            (tmp_path / 'out' / kind / 'train').mkdir(parents=True, exist_ok=True)
        _copy_mask(tmp_path / name, np.full((8, 8), number, np.uint8), tmp_path / 'out', 'train')
    made = sorted((tmp_path / 'out' / 'masks' / 'train').iterdir())
    assert sorted(int(np.array(Image.open(path))[0, 0]) for path in made) == [0, 1, 2, 3]
    assert [path.stem for path in made] == sorted(
        path.stem for path in (tmp_path / 'out' / 'images' / 'train').iterdir()
    )
