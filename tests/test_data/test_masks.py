"""Folders of images and masks, in the layouts and encodings of common tools, give the class indices that were drawn."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmlight.data.check import check_config_data
from mmlight.data.masks import find_masks, iter_pictures, use_mask_folder
from mmlight.data.survey import survey
from mmlight.errors import InputError
from mmlight.runtime.config import load_config

SIZE = (48, 64)  # height, width
COLOURS = [(0, 0, 0), (128, 64, 128), (70, 70, 70)]
NAMES = ['void', 'road', 'house']


def indices(number: int, classes: int = 3) -> np.ndarray:
    found = np.zeros(SIZE, np.uint8)
    found[8 : 20 + number, 4:30] = 1
    found[30:, 20 + number : 60] = classes - 1
    return found


def index(path: Path, number: int, classes: int = 3) -> None:
    Image.fromarray(indices(number, classes)).save(path)


def palette(path: Path, number: int) -> None:
    image = Image.fromarray(indices(number), 'P')
    image.putpalette([value for colour in COLOURS for value in colour])
    image.save(path)


def rgb(path: Path, number: int) -> None:
    Image.fromarray(np.array(COLOURS, np.uint8)[indices(number)]).save(path)


def binary(path: Path, number: int) -> None:
    Image.fromarray(indices(number, 2) * np.uint8(255)).save(path)


def grey_as_rgb(path: Path, number: int) -> None:
    Image.fromarray(np.repeat(indices(number)[..., None], 3, 2)).save(path)


def greys(path: Path, number: int) -> None:
    Image.fromarray(np.array([0, 128, 255], np.uint8)[indices(number)]).save(path)


def deep(path: Path, number: int) -> None:
    Image.fromarray(indices(number).astype(np.uint16)).save(path)


def one_bit(path: Path, number: int) -> None:
    Image.fromarray(indices(number, 2) * np.uint8(255)).convert('1').save(path)


def folder(root: Path, image: str, mask: str, write=index, **classes: str) -> None:
    """Four images of training and two of validation; {split} and {name} in the paths."""
    for split, numbers in (('train', range(4)), ('val', range(4, 6))):
        for number in numbers:
            for pattern, make in ((image, None), (mask, write)):
                path = root / pattern.format(split=split, name=f'im {number}')
                path.parent.mkdir(parents=True, exist_ok=True)
                if make:
                    make(path, number)
                else:
                    Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(path)
    for name, text in classes.items():
        (root / name.replace('_txt', '.txt').replace('_csv', '.csv')).write_text(text)


def voc(root: Path) -> None:
    folder(root, 'JPEGImages/{name}.jpg', 'SegmentationClass/{name}.png', palette)
    for path in root.rglob('*'):
        if path.is_file():
            path.rename(path.with_name(path.name.replace(' ', '')))
    lists = root / 'ImageSets/Segmentation'
    lists.mkdir(parents=True)
    (lists / 'train.txt').write_text('im0\nim1\nim2\nim3\n')
    (lists / 'val.txt').write_text('im4\nim5\n')


LABELMAP = '# label:color_rgb:parts:actions\nvoid:0,0,0::\nroad:128,64,128::\nhouse:70,70,70::\n'


def cvat(root: Path) -> None:
    """Its export of a task without subsets."""
    folder(root, 'JPEGImages/{name}.jpg', 'SegmentationClass/{name}.png', rgb, labelmap_txt=LABELMAP)
    lists = root / 'ImageSets/Segmentation'
    lists.mkdir(parents=True)
    (lists / 'default.txt').write_text(''.join(f'im {number}\n' for number in range(6)))


NOISE = np.random.RandomState(0).randint(0, 255, (*SIZE, 3), np.uint8)
BESIDE = ('images/{split}/{name}.jpg', 'masks/{split}/{name}.png')
CITY = ('leftImg8bit/{split}/aa/{name}_leftImg8bit.png', 'gtFine/{split}/aa/{name}_gtFine_labelTrainIds.png')
FOLDERS = {
    'index': lambda r: folder(r, *BESIDE),
    'palette': lambda r: folder(r, *BESIDE, palette),
    'grey as RGB': lambda r: folder(r, *BESIDE, grey_as_rgb),
    '16 bits': lambda r: folder(r, *BESIDE, deep),
    'binary': lambda r: folder(r, *BESIDE, binary),
    'one bit': lambda r: folder(r, *BESIDE, one_bit),
    'RGB, found': lambda r: folder(r, *BESIDE, rgb),
    'RGB, labelmap.txt': lambda r: folder(r, *BESIDE, rgb, labelmap_txt=LABELMAP),
    'CVAT': cvat,
    'RGB, class_dict.csv': lambda r: folder(
        r, *BESIDE, rgb, class_dict_csv='name,r,g,b\nvoid,0,0,0\nroad,128,64,128\nhouse,70,70,70\n'
    ),
    'index, classes.txt': lambda r: folder(r, *BESIDE, classes_txt='void\nroad\nhouse\n'),
    'greys, classes.txt': lambda r: folder(r, *BESIDE, greys, classes_txt='void\nroad\nhouse\n'),
    'whole names': lambda r: folder(r, BESIDE[0], 'masks/{split}/{name}.jpg.png'),
    'splits outside': lambda r: folder(r, '{split}/Images/{name}.jpg', '{split}/Masks/{name}_mask.png'),
    'camvid': lambda r: folder(r, '{split}/{name}.png', '{split}annot/{name}.png'),
    'cityscapes': lambda r: folder(r, *CITY),
    'voc': voc,
    'no splits': lambda r: folder(r, 'images/{name}.jpg', 'labels/{name}.png'),
}


@pytest.mark.parametrize('kind', FOLDERS)
def test_a_corrected_copy_has_the_same_masks(kind, tmp_path):
    FOLDERS[kind](tmp_path / 'data')
    survey(tmp_path / 'data', fix=tmp_path / 'copy')
    found, copy = find_masks(tmp_path / 'data'), find_masks(tmp_path / 'copy')
    assert copy.names == found.names
    for split in ('train', 'val'):
        masks = [sorted(mask.tobytes() for _, mask in iter_pictures(one, split)) for one in (found, copy)]
        assert masks[0] == masks[1] != []


@pytest.mark.parametrize('kind', FOLDERS)
def test_classes_and_indices(kind, tmp_path):
    FOLDERS[kind](tmp_path / 'data')
    found = find_masks(tmp_path / 'data')
    two = kind in ('binary', 'one bit')
    known = {'camvid': 11, 'cityscapes': 19, 'voc': 21}
    assert len(found.names) == known.get(kind, 2 if two else 3)
    if '.txt' in kind or '.csv' in kind:
        assert found.names == NAMES
    counts = {split: len(pairs) for split, pairs in found.splits.items()}
    assert counts == {'train': 4, 'val': 2}
    order = sorted(COLOURS) if kind == 'RGB, found' else COLOURS
    for split in found.splits:
        for image, mask in iter_pictures(found, split):
            truth = indices(int(image.stem.removesuffix('_leftImg8bit')[-1]), 2 if two else 3)
            expected = np.array([order.index(colour) for colour in COLOURS])[truth]
            assert np.array_equal(mask, expected), image


@pytest.mark.parametrize('config', ['bisenet_xception39_custom-masks', 'dfanet_a_custom-masks'])
@pytest.mark.parametrize('kind', ['RGB, found', 'binary', 'palette', 'grey as RGB', '16 bits'])
def test_a_config_gets_them(config, kind, tmp_path):
    FOLDERS[kind](tmp_path / 'data')
    cfg = use_mask_folder(load_config(config), tmp_path / 'data', tmp_path / 'run')
    cfg.train_dataloader.update(batch_size=2)
    assert check_config_data(cfg) == []
    assert cfg.model.decode_head.num_classes == (2 if kind == 'binary' else 3)
    assert not any(path.is_relative_to(tmp_path / 'data') for path in tmp_path.rglob('*.json'))


def test_one_output_for_two_classes_stays(tmp_path):
    FOLDERS['binary'](tmp_path / 'data')
    cfg = load_config('dfanet_a_custom-masks')
    cfg.model.decode_head.out_channels = 1
    assert use_mask_folder(cfg, tmp_path / 'data', tmp_path / 'run').model.decode_head.out_channels == 1


def later(make, change):
    def both(root: Path) -> None:
        make(root)
        change(root)

    return both


def put(name: str, array: np.ndarray):
    return lambda root: Image.fromarray(array).save(root / name)


WRONG = {
    'beyond the names': (later(FOLDERS['index, classes.txt'], put('masks/val/im 5.png', np.full(SIZE, 9, np.uint8))),
                         r'im 5\.png: value 9 is beyond the 3 classes'),
    'no mask': (later(FOLDERS['index'], lambda r: (r / 'masks/train/im 0.png').unlink()), 'have no mask in .*im 0'),
    'unknown colour': (
        later(FOLDERS['RGB, class_dict.csv'], put('masks/val/im 5.png', np.full((*SIZE, 3), (1, 2, 3), np.uint8))),
        r'im 5\.png: colour \(1, 2, 3\) is of no class',
    ),
    'photo': (
        later(FOLDERS['index'], put('masks/val/im 5.png', NOISE)),
        'more than .* values',
    ),
    'damaged': (
        later(FOLDERS['index'], lambda r: (r / 'masks/val/im 5.png').write_text('x')),
        r'im 5\.png: cannot be read',
    ),
    'one value': (lambda r: folder(r, *BESIDE, lambda path, _: Image.fromarray(np.zeros(SIZE, np.uint8)).save(path)),
                  'nothing to tell apart'),
    'greys without names': (lambda r: folder(r, *BESIDE, greys), 'masks hold 0, 128, 255 alone: class indices, or gre'),
    'JPEG': (lambda r: folder(r, 'images/{name}.jpg', 'masks/{name}.jpg', greys), 'JPEG changes the values of masks'),
    'no val': (later(FOLDERS['camvid'], lambda r: [p.unlink() for p in (r / 'valannot').iterdir()]), 'none of val'),
}  # fmt: skip


@pytest.mark.parametrize('fault', WRONG)
def test_what_is_wrong_is_named(fault, tmp_path):
    make, message = WRONG[fault]
    make(tmp_path / 'data')
    with pytest.raises(InputError, match=message):
        find_masks(tmp_path / 'data')


def test_an_order_that_is_assumed_is_said(tmp_path):
    folder(tmp_path, *BESIDE, greys, classes_txt='void\nroad\nhouse\n')
    (said,) = find_masks(tmp_path).remarks
    assert said.endswith('values of the masks in ascending order: 0 is void, 128 is road, 255 is house')


def test_ade_counts_from_one(tmp_path):
    root = tmp_path / 'data'
    folder(root, 'images/{split}/{name}.jpg', 'annotations/{split}/{name}.png')
    for split, name in (('train', 'training'), ('val', 'validation')):
        for part in ('images', 'annotations'):
            (root / part / split).rename(root / part / name)
    Image.fromarray(np.where(indices(0) == 2, 150, indices(0)).astype(np.uint8)).save(
        root / 'annotations/training/im 0.png'
    )
    found = find_masks(root)
    assert (found.names[0], found.names[149]) == ('wall', 'flag')
    _, mask = next(iter_pictures(found, 'train'))
    assert np.unique(mask).tolist() == [0, 149, 255]


def test_no_folder_and_no_masks(tmp_path):
    for path, message in ((tmp_path / 'gone', 'does not exist'), (tmp_path, 'no masks; looked for images/ and masks/')):
        with pytest.raises(InputError, match=message):
            use_mask_folder(load_config('dfanet_a_custom-masks'), path, tmp_path / 'run')
