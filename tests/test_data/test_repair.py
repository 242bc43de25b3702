"""Exports as labelling tools write them: repaired where that is safe, refused in one line where it is not."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from test_coco_folder import detector, pictures, write

from mmlight.data.check import check_coco, check_config_data
from mmlight.data.coco_folder import find_coco_folder, read_coco, use_coco_folder
from mmlight.data.repair import ORIENTATION, Repair
from mmlight.errors import InputError


def annotation(**changes):
    entry = {'id': 1, 'image_id': 0, 'category_id': 1, 'bbox': [2, 3, 20, 10], 'area': 200, 'iscrowd': 0, **changes}
    return {key: value for key, value in entry.items() if value != 'gone'}


def image(**changes):
    return {'id': 0, 'file_name': 'a.jpg', 'height': 48, 'width': 64, **changes}


def repaired(tmp_path, **changes):
    folder = pictures(tmp_path / 'images')
    data = read_coco(write(tmp_path / 'a.json', files=('a.jpg',), names=('cat',), **changes))
    return data, Repair(data, 'file', folder).run()


TRIANGLE = [[0, 0, 10, 0, 0, 10]]
ANNOTATIONS = {
    'right': (annotation(), {}, 0),
    'no area': (annotation(area='gone'), {'area': 200}, 1),
    'area null': (annotation(area=None), {'area': 200}, 1),
    'area 0': (annotation(area=0), {'area': 200}, 1),
    'area below 0': (annotation(area=-1), {'area': 200}, 1),
    'area of a line': (annotation(area=0, segmentation=[[0, 0, 9, 0, 5, 0]]), {'area': 200}, 1),
    'area of a polygon': (annotation(area=None, segmentation=TRIANGLE), {'area': 50}, 1),
    'area is a string': (annotation(area='200.0'), {'area': 200}, 1),
    'area is a word': (annotation(area='large'), {'area': 200}, 1),
    'no iscrowd': (annotation(iscrowd='gone'), {'iscrowd': 0}, 1),
    'iscrowd null': (annotation(iscrowd=None), {'iscrowd': 0}, 1),
    'iscrowd true': (annotation(iscrowd=True), {'iscrowd': 1}, 1),
    'iscrowd a string': (annotation(iscrowd='0'), {'iscrowd': 0}, 1),
    'box of strings': (annotation(bbox=['2', '3', '20', '10']), {'bbox': [2, 3, 20, 10]}, 1),
    'id 0': (annotation(id=0), {'id': 1}, 1),
    'id missing': (annotation(id='gone'), {'id': 1}, 1),
    'id a string': (annotation(id='7'), {'id': 1}, 1),
    'id null': (annotation(id=None), {'id': 1}, 1),
}


@pytest.mark.parametrize('name', ANNOTATIONS)
def test_annotations(tmp_path, name):
    entry, expected, said = ANNOTATIONS[name]
    data, lines = repaired(tmp_path, annotations=[entry])
    assert len(lines) == said, lines
    assert {key: data['annotations'][0][key] for key in expected} == expected


def test_ids_that_occur_twice_are_numbered_anew(tmp_path):
    data, (line,) = repaired(tmp_path, annotations=[annotation(), annotation()])
    assert [entry['id'] for entry in data['annotations']] == [1, 2]
    assert '2 annotations are numbered from 1' in line


def test_categories_are_sorted_named_by_strings_and_without_parents(tmp_path):
    categories = [{'id': 5, 'name': 7}, {'id': 0, 'name': 'things'}, {'id': 1, 'name': 'b', 'supercategory': 'things'}]
    data, lines = repaired(tmp_path, categories=categories)
    assert [(entry['id'], entry['name']) for entry in data['categories']] == [(1, 'b'), (5, '7')]
    assert len(lines) == 3


IMAGES = {
    'height null': (image(height=None), (64, 48), 1),
    'width missing': ({'id': 0, 'file_name': 'a.jpg'}, (64, 48), 1),
    'strings': (image(width='64', height='48'), (64, 48), 1),
    'zero': (image(width=0), (64, 48), 1),
}


@pytest.mark.parametrize('name', IMAGES)
def test_image_sizes(tmp_path, name):
    entry, size, said = IMAGES[name]
    data, lines = repaired(tmp_path, images=[entry])
    assert (data['images'][0]['width'], data['images'][0]['height']) == size
    assert len(lines) == said


REFUSED = {
    'iscrowd 2': (dict(annotations=[annotation(iscrowd=2)]), 'annotation 1: iscrowd 2, expected 0 or 1'),
    'no box': (dict(annotations=[annotation(area=None, bbox=[1, 2])]), r'bbox \[1, 2\], expected four numbers'),
    'category id': (dict(categories=[{'id': '1', 'name': 'a'}]), "category id '1', expected a whole number"),
    'category name': (dict(categories=[{'id': 1, 'name': ['a']}]), r"name \['a'\], expected a string"),
    'file name': (dict(images=[image(file_name=3)]), 'image 0: file_name 3, expected a string'),
    'another shape': (
        dict(images=[image(height=200)]),
        'a.jpg has 64 x 200 pixels, the file has 64 x 48',
    ),
    'no size at all': (dict(images=[image(file_name='gone.jpg', width=None)]), 'gone.jpg: width, height'),
}


@pytest.mark.parametrize('name', REFUSED)
def test_what_cannot_be_repaired(tmp_path, name):
    changes, message = REFUSED[name]
    with pytest.raises(InputError, match=message):
        repaired(tmp_path, **changes)


@pytest.mark.parametrize('turn', range(5, 9))
def test_boxes_turn_with_the_image(tmp_path, turn):
    """A bright rectangle is where its box is, whatever way the file says that it is turned."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[4:12, 20:50] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    (tmp_path / 'images').mkdir()
    Image.fromarray(pixels).save(tmp_path / 'images/a.jpg', exif=exif, quality=95)
    polygon = [[20, 4, 50, 4, 50, 12, 20, 12]]
    path = write(
        tmp_path / 'a.json', files=('a.jpg',), annotations=[annotation(bbox=[20, 4, 30, 8], segmentation=polygon)]
    )
    data = read_coco(path)
    assert len(Repair(data, 'file', tmp_path / 'images').run()) == 1
    shown = cv2.imread(str(tmp_path / 'images/a.jpg'))
    assert (data['images'][0]['height'], data['images'][0]['width']) == shown.shape[:2] == (64, 48)
    left, top, width, height = (round(value) for value in data['annotations'][0]['bbox'])
    assert shown[top : top + height, left : left + width].mean() > 240
    assert shown.sum() / 255 / 3 == pytest.approx(width * height, rel=0.05)
    (moved,) = data['annotations'][0]['segmentation']
    assert [min(moved[::2]), min(moved[1::2]), max(moved[::2]), max(moved[1::2])] == [
        left,
        top,
        left + width,
        top + height,
    ]


def upside_down(folder, names, turn=3, size=(64, 48)):
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(folder / name, exif=exif)


@pytest.mark.parametrize(
    ('beside', 'moved', 'said'),
    [
        (None, False, ['1 images are turned by EXIF, their boxes taken to be those of the turned: a.jpg']),
        ((64, 48), True, ['2 images are turned by their EXIF orientation, their boxes too: b.jpg, a.jpg']),
        ((48, 64), False, []),
    ],
)
def test_an_upside_down_image_goes_with_the_others(tmp_path, beside, moved, said):
    """Its size does not tell whether boxes are those before or behind EXIF; those of images on their side do."""
    upside_down(tmp_path / 'images', ['a.jpg'])
    images = [image()]
    if beside:
        upside_down(tmp_path / 'images', ['b.jpg'], turn=6)
        images = [image(id=1, file_name='b.jpg', width=beside[0], height=beside[1]), *images]
    data = read_coco(write(tmp_path / 'a.json', images=images, annotations=[annotation()]))
    assert Repair(data, 'file', tmp_path / 'images').run() == [f'file: {line}' for line in said]
    assert data['annotations'][0]['bbox'] == ([42, 35, 20, 10] if moved else [2, 3, 20, 10])


def test_boxes_shrink_with_the_image(tmp_path):
    folder = pictures(tmp_path / 'images')
    data = read_coco(write(tmp_path / 'a.json', images=[image(width=128, height=96)], annotations=[annotation()]))
    (line,) = Repair(data, 'file', folder).run()
    assert 'their boxes are scaled: a.jpg' in line
    assert data['annotations'][0]['bbox'] == [1, 1.5, 10, 5]
    assert data['annotations'][0]['area'] == 50


@pytest.fixture
def export(tmp_path):
    """A folder as CVAT writes it, with all faults at once."""
    for split in ('Train', 'Validation'):
        folder = pictures(tmp_path / 'data/images' / split)
        (folder / 'b.jpg').unlink()
        annotations = [annotation(id=0, area='gone', iscrowd='gone', category_id=key) for key in (5, 2)]
        categories = [{'id': 5, 'name': 'bee'}, {'id': 2, 'name': 'ant'}]
        path = tmp_path / f'data/annotations/instances_{split}.json'
        write(path, files=('a.jpg',), annotations=annotations, categories=categories)
    return tmp_path / 'data'


def test_a_config_gets_the_repaired_copy_and_the_check_says_what_was_changed(export, tmp_path):
    before = {path: path.read_bytes() for path in export.glob('annotations/*')}
    cfg = use_coco_folder(detector(), export, tmp_path / 'run')
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    assert dataset.metainfo.classes == ('ant', 'bee')
    data = json.loads(Path(dataset.ann_file).read_text())
    assert [entry['name'] for entry in data['categories']] == ['ant', 'bee']
    assert [entry['id'] for entry in data['annotations']] == [1, 2]
    assert dataset.ann_file.startswith(str(tmp_path / 'run'))
    assert {path: path.read_bytes() for path in export.glob('annotations/*')} == before
    for head in cfg.model.roi_head.bbox_head:
        head.num_classes = 2
    warnings = check_config_data(cfg, ('train_dataloader',))
    assert len(warnings) == 4
    use_coco_folder(detector(), export, tmp_path / 'run')
    assert len(list((tmp_path / 'run/annotations').iterdir())) == 2


def test_folders_and_files_in_any_case(export):
    found = find_coco_folder(export)
    assert found['train'].img_dir == export / 'images/Train'
    assert found['val'].ann_file == export / 'annotations/instances_Validation.json'


def test_backslashes_in_file_names(tmp_path):
    folder = pictures(tmp_path / 'images/sub')
    data = read_coco(write(tmp_path / 'a.json', images=[image(file_name='sub\\a.jpg')]))
    (line,) = Repair(data, 'file', folder.parent).run()
    assert data['images'][0]['file_name'] == 'sub/a.jpg'
    assert r'sub\a.jpg -> sub/a.jpg' in line


def test_a_category_that_the_split_has_not_is_added(tmp_path):
    folder = pictures(tmp_path / 'images')
    data = read_coco(write(tmp_path / 'a.json', files=('a.jpg',), names=('cat',)))
    lines = Repair(data, 'file', folder, ('ant', 'cat', 'dog')).run()
    assert [entry['name'] for entry in data['categories']] == ['ant', 'cat', 'dog']
    assert 'file: categories of the training that it lacks are added: ant, dog' in lines
    assert len({entry['id'] for entry in data['categories']}) == 3


def test_names_of_urls(tmp_path):
    folder = pictures(tmp_path / 'images', ('a b.jpg',))
    data = read_coco(write(tmp_path / 'a.json', images=[image(file_name='/data/upload/1/a%20b.jpg')]))
    Repair(data, 'file', folder).run()
    assert data['images'][0]['file_name'] == 'a b.jpg'


@pytest.mark.parametrize('listed', ['a', 'a.png', 'sub/A.JPEG', '/home/me/a.webp'])
def test_images_saved_in_another_format(tmp_path, listed):
    folder = pictures(tmp_path / 'images', ('a.jpg', 'b.jpg'))
    data = read_coco(write(tmp_path / 'a.json', images=[image(file_name=listed)]))
    (line,) = Repair(data, 'file', folder).run()
    assert data['images'][0]['file_name'] == 'a.jpg'
    assert f'{listed} -> a.jpg' in line
    pictures(folder / 'sub', ('a.bmp',))  # now it might be either
    data = read_coco(tmp_path / 'a.json')
    Repair(data, 'file', folder).run()
    assert data['images'][0]['file_name'] == listed


def test_fractions_are_no_pixels(tmp_path):
    path = write(tmp_path / 'a.json', annotations=[annotation(bbox=[0.1, 0.2, 0.5, 0.5])])
    with pytest.raises(InputError, match='all 1 boxes lie between 0 and 1: fractions of the image'):
        check_coco(path, pictures(tmp_path / 'images'))


@pytest.mark.parametrize(
    ('boxes', 'message'),
    [
        ([annotation(bbox=[1, 1, 0.5, 9])], '1 below a pixel'),
        ([annotation(iscrowd=1)], '1 crowds'),
    ],
)
def test_nothing_trains_on_no_object(tmp_path, boxes, message):
    with pytest.raises(InputError, match=f'none of its 1 boxes is usable: .*{message}'):
        check_coco(write(tmp_path / 'a.json', annotations=boxes), pictures(tmp_path / 'images'))


def test_a_folder_without_annotations_is_named(export):
    for path in export.glob('annotations/*'):
        data = json.loads(path.read_text())
        path.write_text(json.dumps({**data, 'annotations': []}))
    cfg = use_coco_folder(detector(), export, export / 'run')
    for head in cfg.model.roi_head.bbox_head:
        head.num_classes = 2
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    dataset.filter_cfg = dict(filter_empty_gt=True)
    with pytest.raises(InputError, match=r'no annotations, and .*filter_empty_gt leaves out images without'):
        check_config_data(cfg, ('train_dataloader',))


def test_deeply_nested_json_is_no_coco(tmp_path):
    (tmp_path / 'a.json').write_text('[' * 100_000)
    with pytest.raises(InputError, match='not JSON'):
        read_coco(tmp_path / 'a.json')
