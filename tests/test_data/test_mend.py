"""`mmlight check --fix`: what training refuses becomes a copy that trains, and each change is said in a line."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_masks import BESIDE, SIZE, folder, indices, rgb
from tiny_project import project

from mmlight.cli import main
from mmlight.data.check import check_config_data
from mmlight.data.coco_folder import use_coco_folder
from mmlight.data.masks import find_masks, iter_pictures
from mmlight.data.survey import survey
from mmlight.errors import InputError
from mmlight.runtime.config import load_config

BOX, OTHER = [24, 20, 40, 30], [70, 40, 50, 40]  # in images of 128 x 96
OUTLINE = [[24, 20, 64, 20, 64, 50, 24, 50]]
TRUTH = {(stem, 'ant', *BOX) for stem in ('000', '001')} | {(stem, 'bee', *OTHER) for stem in ('000', '001')}


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (96, 128, 3), np.uint8)).save(path)


def right(root: Path) -> dict:
    """Two images with two boxes each as COCO; the same for validation, which stays right."""
    images = [dict(id=number, file_name=f'00{number}.png', width=128, height=96) for number in (0, 1)]
    common = dict(iscrowd=0, segmentation=[])
    annotations = [
        dict(id=2 * number + index + 1, image_id=number, category_id=label, bbox=box, area=box[2] * box[3], **common)
        for number in (0, 1)
        for index, (label, box) in enumerate(((1, BOX), (2, OTHER)))
    ]
    data = dict(images=images, annotations=annotations, categories=[dict(id=1, name='ant'), dict(id=2, name='bee')])
    for split in ('train', 'val'):
        for entry in images:
            picture(root / split / entry['file_name'])
    (root / 'annotations').mkdir()
    (root / 'annotations/instances_val.json').write_text(json.dumps(data))
    return json.loads(json.dumps(data))


def each(part: str, change: Callable[[dict], object]) -> Callable[[Path, dict], None]:
    return lambda root, data: [change(entry) for entry in data[part]]


def first(part: str, **changes: object) -> Callable[[Path, dict], None]:
    return lambda root, data: data[part][0].update(changes)


def shares(box: list[float], centre: bool) -> list[float]:
    x, y, w, h = box
    x, y = (x + w / 2, y + h / 2) if centre else (x, y)
    return [x / 128, y / 96, w / 128, h / 96]


def centres(root: Path, data: dict) -> None:
    """One box reaches the right edge, where its centre and width could be no left edge and width."""
    data['annotations'][1]['bbox'] = [100, 20, 28, 60]
    for entry in data['annotations']:
        entry['bbox'] = shares(entry['bbox'], centre=True)


def corners(entry: dict) -> None:
    x, y, w, h = entry['bbox']
    entry['bbox'] = [x, y, x + w, y + h]


def strings(entry: dict) -> None:
    for key in ('id', 'category_id', 'image_id'):
        if key in entry:
            entry[key] = str(entry[key])


def all_strings(root: Path, data: dict) -> None:
    for part in data.values():
        for entry in part:
            strings(entry)


FIRST_ANT, FIRST_BEE = ('000', 'ant', *BOX), ('000', 'bee', *OTHER)
AT_EDGE = ('000', 'bee', 100, 20, 28, 60)
CASES = {
    'fractions': (each('annotations', lambda one: one.update(bbox=shares(one['bbox'], False), area=0.1)),
                  TRUTH, '4 boxes were fractions of the image, read as left, top, width and height'),
    'fractions, centre': (centres, TRUTH - {FIRST_BEE} | {AT_EDGE}, 'fractions of the image, read as centre and size'),
    'corners': (each('annotations', corners), TRUTH, '4 boxes were left, top, right, bottom'),
    'all crowds': (each('annotations', lambda one: one.update(iscrowd=1)), TRUTH, '4 annotations were all crowds'),
    'sizes as text': (each('images', lambda one: one.update(width='128', height='96')), TRUTH, 'written as text'),
    'boxes as text': (each('annotations', lambda one: one.update(bbox=[*map(str, one['bbox'])])), TRUTH, 'bbox was'),
    'all ids as text': (all_strings, TRUTH, '4 annotations: category_id was of another kind'),
    'id is an object': (first('annotations', id={'a': 1}), TRUTH, '1 annotations: id was of another kind'),
    'category in a list': (first('annotations', category_id=[1]), TRUTH, '1 annotations: category_id was'),
    'name in a list': (first('categories', name=['ant']), TRUTH, '1 categories: name was'),
    'no category id': (first('categories', id=None), TRUTH, '1 category had no id: ant is 1'),
    'no category': (first('annotations', category_id=9), TRUTH - {FIRST_ANT}, '1 annotations left out: of no category'),
    'category null': (first('annotations', category_id=None), TRUTH - {FIRST_ANT}, 'left out: of no category'),
    'image null': (first('annotations', image_id=None), TRUTH - {FIRST_ANT}, 'left out: of no image that is listed'),
    'box null, outline': (first('annotations', bbox=None, segmentation=OUTLINE), TRUTH, 'what their polygons span'),
    'no box, outline': (lambda root, data: data['annotations'][0].update(segmentation=OUTLINE)
                        or data['annotations'][0].pop('bbox'), TRUTH, 'what their polygons span'),
    'box null': (first('annotations', bbox=None), TRUTH - {FIRST_ANT}, '1 annotations left out: bbox is not four'),
    'box of three': (first('annotations', bbox=[1, 2, 3]), TRUTH - {FIRST_ANT}, 'bbox is not four numbers'),
    'box outside': (first('annotations', bbox=[200, 2, 9, 9]), TRUTH - {FIRST_ANT}, '1 boxes left out, which lie'),
    'no file name': (lambda root, data: data['images'].append({'id': 7}), TRUTH, '1 images left out: lack one of'),
    'image twice': (lambda root, data: data['images'].append(data['images'][0]), TRUTH, '1 images left out: listed'),
    'file name 1': (first('images', file_name=1), {one for one in TRUTH if one[0] == '001'}, '1 of 2 images left out'),
    'image missing': (lambda root, data: (root / 'train/000.png').unlink(),
                      {one for one in TRUTH if one[0] == '001'}, '1 of 2 images left out, missing'),
    'image damaged': (lambda root, data: (root / 'train/000.png').write_bytes(b'\x89PNG\r\n\x1a\n'),
                      {one for one in TRUTH if one[0] == '001'}, '1 of 2 images left out, missing, damaged'),
}  # fmt: skip
each_case = pytest.mark.parametrize('name', CASES)


def fixed(name: str, tmp_path: Path) -> tuple[str, Path]:
    """What the survey of a case says, and its corrected copy."""
    change, _, _ = CASES[name]
    data = right(tmp_path / 'data')
    change(tmp_path / 'data', data)
    (tmp_path / 'data/annotations/instances_train.json').write_text(json.dumps(data))
    return str(survey(tmp_path / 'data', fix=tmp_path / 'copy')), tmp_path / 'copy'


@each_case
def test_the_copy_holds_what_was_drawn(name, tmp_path):
    said, copy = fixed(name, tmp_path)
    assert CASES[name][2] in said
    assert '/tmp' not in said.replace(str(tmp_path), '')
    data = json.loads((copy / 'annotations/instances_train.json').read_text())
    files = {entry['id']: Path(entry['file_name']).stem for entry in data['images']}
    names = {entry['id']: entry['name'] for entry in data['categories']}
    found = {
        (files[one['image_id']], names[one['category_id']], *np.round(one['bbox'], 3).tolist())
        for one in data['annotations']
    }
    assert found == CASES[name][1]
    for one in data['annotations']:
        assert one['area'] == pytest.approx(one['bbox'][2] * one['bbox'][3])
    assert survey(copy).splits['train'].problems == []
    cfg = load_config(project() / 'det.py')
    assert check_config_data(use_coco_folder(cfg, copy, tmp_path / 'run')) == []


@pytest.mark.long
@each_case
def test_the_copy_trains(name, tmp_path):
    _, copy = fixed(name, tmp_path)
    run = ['--data', str(copy), '--work-dir', str(tmp_path / 'run'), '--epochs', '1', '--device', 'cpu']
    options = ['train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False']
    assert main(['train', str(project() / 'det.py'), *run, '--cfg-options', *options]) == 0
    (log,) = (tmp_path / 'run').rglob('scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert any('coco/bbox_mAP' in line for line in lines)
    assert all(line['loss_bbox'] > 0 for line in lines if 'loss_bbox' in line)  # 0: without an object


def test_a_folder_without_splits(tmp_path):
    data = right(tmp_path / 'made')
    (tmp_path / 'made/train').rename(tmp_path / 'data')
    for entry in data['annotations']:
        entry.update(bbox=shares(entry['bbox'], False), area=0.1)
    (tmp_path / 'data/labels.json').write_text(json.dumps(data))
    assert '4 boxes were fractions' in str(survey(tmp_path / 'data', fix=tmp_path / 'copy'))
    copied = [
        json.loads((tmp_path / f'copy/annotations/instances_{split}.json').read_text()) for split in ('train', 'val')
    ]
    assert sorted(one['bbox'] for data in copied for one in data['annotations']) == [BOX, BOX, OTHER, OTHER]


REFUSED = {
    'no annotations': (lambda root, data: data['annotations'].clear(), 'none are left, no copy of that can train'),
    'all outside': (each('annotations', lambda one: one.update(bbox=[900, 900, 9, 9])), 'is usable: .* 4 outside'),
    'no category at all': (lambda root, data: data['categories'].clear(), 'category ids that it does not define'),
    'no image': (lambda root, data: data['images'].clear(), 'lists no images'),
    'images clash': (first('images', id=1), 'images ids occur more than once: 1'),
    'not COCO': (lambda root, data: data.pop('images'), "key 'images' missing"),
}


@pytest.mark.parametrize('name', REFUSED)
def test_what_no_copy_can_mend(name, tmp_path):
    change, message = REFUSED[name]
    data = right(tmp_path / 'data')
    change(tmp_path / 'data', data)
    (tmp_path / 'data/annotations/instances_train.json').write_text(json.dumps(data))
    with pytest.raises(InputError, match=message):
        survey(tmp_path / 'data', fix=tmp_path / 'copy')
    assert not (tmp_path / 'copy').exists()


@pytest.mark.parametrize('refused', ['fractions', 'all crowds'])
def test_training_says_what_mends_it(refused, tmp_path):
    data = right(tmp_path / 'data')
    CASES[refused][0](tmp_path / 'data', data)
    (tmp_path / 'data/annotations/instances_train.json').write_text(json.dumps(data))
    cfg = use_coco_folder(load_config(project() / 'det.py'), tmp_path / 'data', tmp_path / 'run')
    with pytest.raises(InputError, match='`mmlight check FOLDER --fix COPY` changes that'):
        check_config_data(cfg)


MASKS = {
    'no mask': (lambda root: (root / 'masks/train/im 0.png').unlink(), 3, '1 images left out, without masks: im 0.jpg'),
    'mask damaged': (lambda root: (root / 'masks/train/im 0.png').write_bytes(b'no'), 3, 'left out, damaged, or'),
    'image damaged': (lambda root: (root / 'images/train/im 0.jpg').write_bytes(b'\xff\xd8'), 3, 'left out, damaged'),
    'another shape': (lambda root: Image.fromarray(indices(0)[:20]).save(root / 'masks/train/im 0.png'), 3,
                      'left out, whose masks have another shape'),
    'half the size': (lambda root: Image.fromarray(indices(0)[::2, ::2]).save(root / 'masks/train/im 0.png'), 4, ''),
    'all': (lambda root: [path.unlink() for path in sorted((root / 'masks/train').iterdir())[:3]], 1, '3 images left'),
}  # fmt: skip


def fixed_masks(name: str, tmp_path: Path) -> tuple[str, Path]:
    folder(tmp_path / 'data', *BESIDE)
    MASKS[name][0](tmp_path / 'data')
    return str(survey(tmp_path / 'data', fix=tmp_path / 'copy')), tmp_path / 'copy'


@pytest.mark.parametrize('name', MASKS)
def test_masks(name, tmp_path):
    said, copy = fixed_masks(name, tmp_path)
    _, count, remark = MASKS[name]
    assert remark in said
    found = find_masks(copy)
    assert [len(found.splits[split]) for split in ('train', 'val')] == [count, 2]
    for split in found.splits:
        for image, mask in iter_pictures(found, split):
            assert mask.shape == SIZE
            assert (mask == indices(int(image.stem[-1]))).mean() > 0.95


@pytest.mark.long
@pytest.mark.parametrize('name', MASKS)
def test_masks_train(name, tmp_path):
    _, copy = fixed_masks(name, tmp_path)
    run = ['--data', str(copy), '--work-dir', str(tmp_path / 'run'), '--device', 'cpu']
    options = ['train_dataloader.batch_size=1', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2']
    assert main(['train', str(project() / 'seg.py'), *run, '--cfg-options', *options]) == 0
    (log,) = (tmp_path / 'run').rglob('scalars.json')
    assert any('mIoU' in json.loads(line) for line in log.read_text().splitlines())


def test_colours_stay_what_they_are(tmp_path):
    folder(tmp_path / 'data', *BESIDE, rgb)
    (tmp_path / 'data/masks/train/im 0.png').unlink()
    survey(tmp_path / 'data', fix=tmp_path / 'copy')
    assert find_masks(tmp_path / 'copy').names == ['#000000', '#464646', '#804080']
