"""Pascal VOC and YOLO folders, as labelling tools write them, give the boxes, labels and names that were drawn."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmlight.data.check import check_config_data
from mmlight.data.coco_folder import find_splits, use_coco_folder
from mmlight.errors import InputError
from mmlight.runtime.config import load_config

WIDTH, HEIGHT = 80, 60
NAMES = ['wasp', 'bee']  # not in the order of the alphabet
TRUTH = {  # split -> image -> (class, x1, y1, x2, y2)
    'train': {'a': [(0, 10, 12, 40, 36), (1, 44, 6, 72, 54)], 'b': [(1, 8, 8, 24, 20)]},
    'val': {'c': [(0, 16, 18, 60, 48)], 'd': []},
}


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(path)


def xml(
    path: Path, objects: list, first: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT), database: str = 'own'
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    corners = ('xmin', 'ymin', 'xmax', 'ymax')
    body = ''.join(
        f'<object><name>{NAMES[label]}</name><difficult>0</difficult><bndbox>'
        + ''.join(
            f'<{key}>{v + (first if key.endswith("min") else 0)}</{key}>' for key, v in zip(corners, box, strict=True)
        )
        + '</bndbox></object>'
        for label, *box in objects
    )
    head = f'<source><database>{database}</database></source>'
    head += f'<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>'
    path.write_text(f'<annotation>{head}{body}</annotation>')


def lines(path: Path, objects: list, polygon: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    for label, x1, y1, x2, y2 in objects:
        values = [(x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT, (x2 - x1) / WIDTH, (y2 - y1) / HEIGHT]
        if polygon:
            corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
            values = [value / side for point in corners for value, side in zip(point, (WIDTH, HEIGHT), strict=True)]
        rows.append(' '.join([str(label), *(f'{value:.6f}' for value in values)]))
    path.write_text('\n'.join(rows))


def voc_kit(root: Path, kit: str = '', first: int = 0, **options) -> None:
    """The devkit's layout, which CVAT and Label Studio write too."""
    for split, images in TRUTH.items():
        for name, objects in images.items():
            picture(root / kit / f'JPEGImages/{name}.jpg')
            xml(root / kit / f'Annotations/{name}.xml', objects, first, **options)
        listed = root / kit / f'ImageSets/Main/{split}.txt'
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text('\n'.join(images) + '\n')


def voc_beside(root: Path, folders: tuple[str, str] = ('train', 'valid')) -> None:
    for folder, images in zip(folders, TRUTH.values(), strict=True):
        for name, objects in images.items():
            picture(root / folder / f'{name} 1.jpg')
            xml(root / folder / f'{name} 1.xml', objects)


def yolo(root: Path, image: str, label: str, settings: dict, polygon: bool = False) -> None:
    for split, images in TRUTH.items():
        for name, objects in images.items():
            picture(root / image.format(split=split, name=name))
            if objects:
                lines(root / label.format(split=split, name=name), objects, polygon)
    (root / 'data.yaml').write_text(yaml.safe_dump(settings))


def cvat_yolo(root: Path) -> None:
    """obj.names, and lists of images with the exporter's prefix."""
    (root).mkdir(parents=True, exist_ok=True)
    (root / 'obj.names').write_text('\n'.join(NAMES) + '\n')
    (root / 'obj.data').write_text('classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n')
    for split, images in TRUTH.items():
        for name, objects in images.items():
            picture(root / f'obj_{split}_data/{name}.png')
            lines(root / f'obj_{split}_data/{name}.txt', objects)
        (root / f'{split}.txt').write_text('\n'.join(f'data/obj_{split}_data/{name}.png' for name in images))


def classes_txt(root: Path) -> None:
    yolo(root, 'images/{split}/{name}.jpg', 'labels/{split}/{name}.txt', {})
    (root / 'data.yaml').unlink()
    (root / 'classes.txt').write_text('\n'.join(NAMES))


SPLIT = {'train': 'images/train', 'val': 'images/val'}
ULTRALYTICS = ('images/{split}/{name}.jpg', 'labels/{split}/{name}.txt')
ROBOFLOW = ('{split}/images/{name}_jpg.rf.0f.jpg', '{split}/labels/{name}_jpg.rf.0f.txt')
LAYOUTS = {
    'voc': lambda root: voc_kit(root),
    'voc in VOCdevkit/VOC2007, from 1': lambda root: voc_kit(
        root, 'VOCdevkit/VOC2007', 1, database='The VOC2007 Database'
    ),
    'voc without sizes': lambda root: voc_kit(root, size=(0, 0)),
    'voc beside images (Roboflow)': voc_beside,
    'voc beside images, Train and VAL': lambda root: voc_beside(root, ('Train', 'VAL')),
    'yolo (ultralytics)': lambda root: yolo(root, *ULTRALYTICS, dict(path='/elsewhere/data', names=NAMES) | SPLIT),
    'yolo, names by number': lambda root: yolo(root, *ULTRALYTICS, dict(names=dict(enumerate(NAMES))) | SPLIT),
    'yolo, lists of folders': lambda root: yolo(
        root, *ULTRALYTICS, dict(names=NAMES, train=['images/train'], val=['./images/val'])
    ),
    'yolo (Roboflow)': lambda root: yolo(
        root, *ROBOFLOW, dict(names=NAMES, nc=2, train='../train/images', val='../val/images')
    ),
    'yolo, polygons': lambda root: yolo(root, *ULTRALYTICS, dict(names=NAMES) | SPLIT, polygon=True),
    'yolo, spaces and unicode': lambda root: yolo(root / 'mein Ördner', *ULTRALYTICS, dict(names=NAMES) | SPLIT),
    'yolo (CVAT)': cvat_yolo,
    'yolo, classes.txt (Label Studio)': classes_txt,
}


def boxes(split) -> tuple[dict, list[str]]:
    data = COCO(str(split.ann_file)).dataset
    names = [entry['name'] for entry in data['categories']]
    files = {entry['id']: Path(entry['file_name']).name[0] for entry in data['images']}
    found = {files[image['id']]: [] for image in data['images']}
    for entry in data['annotations']:
        x, y, w, h = entry['bbox']
        name = next(one['name'] for one in data['categories'] if one['id'] == entry['category_id'])
        found[files[entry['image_id']]].append((NAMES.index(name), *(round(v, 2) for v in (x, y, x + w, y + h))))
    return found, names


@pytest.mark.parametrize('layout', LAYOUTS)
def test_boxes_and_names(layout, tmp_path, capsys):
    root = tmp_path / 'data'
    LAYOUTS[layout](root)
    root = next(iter(root.glob('mein*')), root)
    splits = find_splits(root, tmp_path / 'out')
    for split, truth in TRUTH.items():
        found, names = boxes(splits[split])
        assert {name: sorted(objects) for name, objects in found.items()} == {k: sorted(v) for k, v in truth.items()}
        assert names == (NAMES if 'yolo' in layout else sorted(NAMES))
        for entry in COCO(str(splits[split].ann_file)).dataset['images']:
            assert (splits[split].img_dir / entry['file_name']).is_file()
    assert not list(root.rglob('*.json'))  # nothing is written into the user's folder


@pytest.mark.parametrize('layout', ['voc', 'yolo (CVAT)'])
def test_a_config_trains_on_it_and_perfect_predictions_score_one(layout, tmp_path):
    LAYOUTS[layout](tmp_path / 'data')
    cfg = use_coco_folder(load_config('thundernet_snet49_custom-coco'), tmp_path / 'data', tmp_path / 'run')
    assert cfg.model.roi_head.bbox_head.num_classes == 2
    warnings = check_config_data(cfg)
    assert any(
        layout.split()[0].upper() in warning.upper() and '3 boxes in 2 images' in warning for warning in warnings
    )
    truth = COCO(cfg.val_evaluator.ann_file)
    results = [{**entry, 'score': 1.0} for entry in truth.dataset['annotations']]
    with redirect_stdout(io.StringIO()):
        score = COCOeval(truth, truth.loadRes(results), 'bbox')
        score.evaluate(), score.accumulate(), score.summarize()
    assert score.stats[0] == pytest.approx(1)


def broken(write, change):
    def make(root: Path) -> None:
        write(root)
        change(root)

    return make


ULTRA = LAYOUTS['yolo (ultralytics)']
BROKEN = {
    'no val': (
        broken(voc_kit, lambda r: (r / 'ImageSets/Main/val.txt').write_text('')),
        'Pascal VOC data set without val images',
    ),
    'xml': (broken(voc_kit, lambda r: (r / 'Annotations/a.xml').write_text('<a>')), r'a\.xml: not XML'),
    'entities': (
        broken(voc_kit, lambda r: (r / 'Annotations/a.xml').write_text('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>')),
        r'a\.xml: defines a document type',
    ),
    'no box': (
        broken(voc_kit, lambda r: (r / 'Annotations/a.xml').write_text('<a><object><name>bee</name></object></a>')),
        r'a\.xml: object 0 \(bee\): needs name and bndbox',
    ),
    'no image': (broken(voc_kit, lambda r: (r / 'JPEGImages/a.jpg').unlink()), r'train\.txt: image a is not in'),
    'damaged image': (broken(voc_kit, lambda r: (r / 'JPEGImages/a.jpg').write_text('x')), r'a\.jpg: not an image'),
    'pixels': (
        broken(ULTRA, lambda r: (r / 'labels/train/a.txt').write_text('0 30 20 10 10')),
        r'a\.txt: line 1: coordinates must be shares of the image',
    ),
    'class': (
        broken(ULTRA, lambda r: (r / 'labels/train/a.txt').write_text('7 .3 .2 .1 .1')),
        r'a\.txt: line 1: class 7, the classes are 0 to 1',
    ),
    'words': (
        broken(ULTRA, lambda r: (r / 'labels/train/a.txt').write_text('bee .3 .2 .1 .1')),
        r'a\.txt: line 1: expected class, x, y, w, h',
    ),
    'yaml': (broken(ULTRA, lambda r: (r / 'data.yaml').write_text('names: [a')), r'data\.yaml: not YAML'),
    'names': (broken(ULTRA, lambda r: (r / 'data.yaml').write_text('names: 3\ntrain: images')), 'names must be a list'),
    'gap': (broken(ULTRA, lambda r: (r / 'data.yaml').write_text('names: {1: a}\ntrain: i')), 'numbered from 0'),
    'folder': (
        broken(ULTRA, lambda r: (r / 'data.yaml').write_text('names: [a, b]\ntrain: pictures\nval: images/val')),
        r'data\.yaml: pictures: no such folder below',
    ),
    'listed': (
        broken(cvat_yolo, lambda r: (r / 'obj_train_data/a.png').unlink()),
        r'train\.txt: line 1: image data/obj_train_data/a\.png is not below',
    ),
    'nothing': (lambda root: picture(root / 'x.jpg'), 'no train annotations; looked for'),
}


@pytest.mark.parametrize('fault', BROKEN)
def test_what_is_wrong_is_named(fault, tmp_path):
    make, message = BROKEN[fault]
    make(tmp_path / 'data')
    with pytest.raises(InputError, match=message):
        find_splits(tmp_path / 'data', tmp_path / 'out')


@pytest.mark.parametrize(('turn', 'moved'), [(6, [24, 12, 24, 30]), (8, [12, 38, 24, 30])])
def test_voc_boxes_of_an_image_that_exif_turns(turn, moved, tmp_path):
    """labelImg writes the size that is stored, and boxes in that; sizes as shown are left alone."""
    exif = Image.Exif()
    exif[0x0112] = turn
    box = (1, 12, 12, 42, 36)
    for split in ('train', 'val'):
        picture(tmp_path / split / 'a.jpg')
        Image.open(tmp_path / split / 'a.jpg').save(tmp_path / split / 'a.jpg', exif=exif)
    xml(tmp_path / 'train/a.xml', [box])
    xml(tmp_path / 'val/a.xml', [box], size=(HEIGHT, WIDTH))
    found = find_splits(tmp_path, tmp_path / 'made')
    boxes = [json.loads(found[split].ann_file.read_text())['annotations'][0]['bbox'] for split in ('train', 'val')]
    assert boxes == [moved, [12, 12, 30, 24]]
