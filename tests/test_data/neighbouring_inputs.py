"""Data sets as tools and people leave them, each with what `mmlight check` and `mmlight train` are to make of it.

A row is what makes the folder, and either ``None``, where it trains on the boxes or masks that were drawn, or the words
of the one line that refuses it.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from exports import (
    DOCUMENTED,
    HEIGHT,
    NAMES,
    TRAIN,
    TRUTH,
    VAL,
    WIDTH,
    coco,
    edited,
    pictures,
    xml,
)
from PIL import Image

Make = Callable[[Path], object]


def layout(train: str, val: str, images: str = 'images', **extra) -> Make:
    """Two COCO files and one folder of images."""

    def make(root: Path) -> None:
        pictures(root / images)
        coco(root / train, TRAIN, **extra)
        coco(root / val, VAL, **extra)

    return make


STANDARD = layout('annotations/instances_train.json', 'annotations/instances_val.json')


def later(change: Callable[[dict], object], split: str = 'train', make: Make = STANDARD) -> Make:
    """The standard layout with a change of one JSON file, or of both."""

    def both(root: Path) -> None:
        make(root)
        for name in ('train', 'val') if split == 'both' else (split,):
            edited(root / f'annotations/instances_{name}.json', change)

    return both


def each(part: str, split: str = 'both', **changes: object) -> Make:
    return later(lambda data: [one.update(changes) for one in data[part]], split)


def renamed(pattern: str) -> Make:
    """``file_name`` as ``pattern`` says; the files stay."""

    def change(data: dict) -> None:
        for one in data['images']:
            one['file_name'] = pattern.format(Path(one['file_name']).stem)

    return later(change, 'both')


def saved(suffix: str, change: Callable[[Image.Image], Image.Image], **options: object) -> Make:
    """The images in another format or mode."""

    def make(root: Path) -> None:
        STANDARD(root)
        for path in (root / 'images').iterdir():
            image = change(Image.open(path).copy())
            path.unlink()
            image.save(path.with_suffix(suffix), **options)

    return make


def files(change: Callable[[Path], object], make: Make = STANDARD) -> Make:
    """The standard layout with a change of its files."""

    def both(root: Path) -> None:
        make(root)
        change(root)

    return both


def text(name: str, change: Callable[[str], str | bytes], make: Make = STANDARD) -> Make:
    """One file with another content."""

    def change_file(root: Path) -> None:
        found = change((root / name).read_text())
        (root / name).write_bytes(found if isinstance(found, bytes) else found.encode())

    return files(change_file, make)


def deep(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert('L')).astype(np.uint16) * 256)


def outline(box: list[float]) -> list[list[float]]:
    x, y, w, h = box
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def run_lengths(data: dict) -> None:
    from pycocotools import mask

    for one in data['annotations']:
        found = mask.merge(mask.frPyObjects(outline(one['bbox']), HEIGHT, WIDTH))
        one['segmentation'] = dict(size=found['size'], counts=found['counts'].decode())


def outlines(data: dict) -> None:
    for one in data['annotations']:
        one['segmentation'] = outline(one['bbox'])


def uuids(data: dict) -> None:
    for one in data['images']:
        one['id'] = f'0f8a-{one["id"]:04d}-c'
    for one in data['annotations']:
        one['image_id'] = f'0f8a-{one["image_id"]:04d}-c'


def used_alone(data: dict) -> None:
    """Only the second class, as tools list the categories that a split uses."""
    data['annotations'] = [one for one in data['annotations'] if one['category_id'] == 2]
    data['categories'] = data['categories'][1:]


def voc(root: Path) -> None:
    for split, names in (('train', TRAIN), ('val', VAL)):
        pictures(root / split, names)
        xml(root / split, names)


def yolo(root: Path) -> None:
    for split, names in (('train', TRAIN), ('val', VAL)):
        pictures(root / 'images' / split, names)
        (root / 'labels' / split).mkdir(parents=True)
        for name in names:
            lines = [
                f'{label} {(x1 + x2) / 2 / WIDTH} {(y1 + y2) / 2 / HEIGHT} {(x2 - x1) / WIDTH} {(y2 - y1) / HEIGHT}'
                for label, x1, y1, x2, y2 in TRUTH[name]
            ]
            (root / 'labels' / split / f'{name}.txt').write_text('\n'.join(lines) + '\n')
    (root / 'data.yaml').write_text(f'train: images/train\nval: images/val\nnc: 2\nnames: {NAMES}\n')


def moved(old: str, new: str) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)

    return change


SIZE_0 = '<size><width>0</width><height>0</height></size>'
TRAIN_JSON, XML, LABEL = 'annotations/instances_train.json', 'train/i1.xml', 'labels/train/i1.txt'
COCO = {
    'in folders training and validation': (layout('training/labels.json', 'validation/labels.json'), None),
    'coco_train.json': (layout('coco_train.json', 'coco_val.json'), None),
    'data-train-v2.json': (layout('data-train-v2.json', 'data-valid-v2.json'), None),
    'TRAIN.JSON': (layout('Annotations/INSTANCES_TRAIN.JSON', 'Annotations/INSTANCES_VAL.JSON', 'IMAGES'), None),
    'keypoints of COCO': (layout('annotations/person_keypoints_train2017.json',
                                 'annotations/person_keypoints_val2017.json', 'train2017'), None),
    'spaces and accents': (layout('annotations/instances_train.json', 'annotations/instances_val.json',
                                  'images/Été à Zürich (1)'), None),
    'absolute paths of another system': (renamed('C:\\Users\\me\\pictures\\{}.jpg'), None),
    'paths of a server': (renamed('/datasets/bees/{}.jpg'), None),
    'local files of Label Studio': (renamed('/data/local-files/?d=bees/{}.jpg'), None),
    'addresses': (renamed('https://example.org/bees/{}.jpg'), None),
    'upper case suffix': (renamed('{}.JPG'), None),
    'no suffix': (renamed('{}'), None),
    'PNG in the file, JPEG on disk': (renamed('{}.png'), None),
    'leading ./': (renamed('./{}.jpg'), None),
    'unknown images': (renamed('other_{}.jpg'), 'not found; looked in'),
    'images beside two folders': (files(lambda r: shutil.copytree(r / 'images', r / 'copy of images')), None),
    'area 0': (each('annotations', area=0), None),
    'area null': (each('annotations', area=None), None),
    'area as text': (each('annotations', area='12.5'), None),
    'iscrowd false': (each('annotations', iscrowd=False), None),
    'iscrowd as text': (each('annotations', iscrowd='0'), None),
    'scores beside boxes': (each('annotations', score=0.5, ignore=0, attributes={'occluded': False}), None),
    'all ignored': (each('annotations', ignore=1), 'marked ignore'),
    'segmentation null': (each('annotations', segmentation=None), None),
    'segmentation flat': (each('annotations', segmentation=[1, 2, 30, 2, 30, 40]), None),
    'segmentation of two points': (each('annotations', segmentation=[[1, 2, 3, 4]]), None),
    'segmentation as run lengths': (later(run_lengths, 'both'), None),
    'segmentation as outlines': (later(outlines, 'both'), None),
    'boxes as text': (later(lambda d: [a.update(bbox=[*map(str, a['bbox'])]) for a in d['annotations']], 'both'), None),
    'box null': (each('annotations', bbox=None), 'bbox None, expected four numbers'),
    'box as an object': (each('annotations', bbox={'x': 1, 'y': 2, 'width': 3, 'height': 4}), 'expected four numbers'),
    'image ids are uuids': (later(uuids, 'both'), None),
    'annotation ids are text': (later(lambda d: [a.update(id=f'a{a["id"]}') for a in d['annotations']], 'both'), None),
    'annotation ids are missing': (later(lambda d: [a.pop('id') for a in d['annotations']], 'both'), None),
    'sizes as text': (each('images', width=str(WIDTH), height=str(HEIGHT)), None),
    'sizes 0': (each('images', width=0, height=0), None),
    'sizes swapped': (each('images', width=HEIGHT, height=WIDTH), 'boxes cannot fit'),
    'categories in another order': (later(lambda d: d['categories'].reverse(), 'val'), None),
    'val lists what it uses': (later(used_alone, 'val'), None),
    'a category of the val alone': (
        later(lambda d: (d['categories'].append({'id': 9, 'name': 'fly'}), d['annotations'][0].update(category_id=9)),
              'val'), "the config's classes lack: fly"),
    'categories missing': (later(lambda d: d.pop('categories')), "key 'categories' missing"),
    'categories empty': (later(lambda d: d.update(categories=[])), 'defines no categories'),
    'a name twice': (later(lambda d: d['categories'][0].update(name='bee'), 'both'), 'names occur twice: bee'),
    'annotations by id': (later(lambda d: d.update(annotations={'1': d['annotations'][0]})), 'is not a list but dict'),
    'info and licenses null': (later(lambda d: d.update(info=None, licenses=None), 'both'), None),
    'results instead': (text(TRAIN_JSON, lambda s: json.dumps(json.loads(s)['annotations'])), 'found list'),
    'panoptic instead': (later(lambda d: d.update(annotations=[dict(image_id=1, file_name='a.png', segments_info=[])])),
                         r"annotations\[0\] lacks 'bbox', 'category_id'"),
    'cut short': (text(TRAIN_JSON, lambda s: s[: len(s) // 2]), 'not JSON'),
    'empty file': (text(TRAIN_JSON, lambda s: ''), 'not JSON'),
    'byte order mark': (text(TRAIN_JSON, lambda s: s.encode('utf-8-sig')), None),
    'not a number': (text(TRAIN_JSON, lambda s: s.replace('"area": 720', '"area": NaN')), None),
    'Latin-1': (text(TRAIN_JSON, lambda s: s.replace('wasp', 'guêpe').encode('latin-1')), 'not JSON'),
    'grey images': (saved('.jpg', lambda i: i.convert('L')), None),
    'RGBA images': (saved('.png', lambda i: i.convert('RGBA')), None),
    'CMYK images': (saved('.jpg', lambda i: i.convert('CMYK')), None),
    'palette images': (saved('.png', lambda i: i.convert('P')), None),
    'one bit images': (saved('.png', lambda i: i.convert('1')), None),
    '16 bit images': (saved('.png', deep), None),
    'WebP images': (saved('.webp', lambda i: i), None),
    'TIFF images': (saved('.tif', lambda i: i, compression='tiff_lzw'), None),
    'an image of text': (files(lambda r: (r / 'images/i1.jpg').write_text('<html>')), 'i1.jpg'),
    'an image cut short': (files(lambda r: (r / 'images/i1.jpg').write_bytes((r / 'images/i1.jpg').read_bytes()[:200])),
                           'i1.jpg'),
    'an image of no bytes': (files(lambda r: (r / 'images/i1.jpg').write_bytes(b'')), 'i1.jpg'),
}  # fmt: skip
OTHER = {
    'VOC in GBK': (text(XML, lambda s: ('<?xml version="1.0" encoding="gb2312"?>' + s).encode('gb2312'), voc), None),
    'VOC with a mark': (text(XML, lambda s: s.encode('utf-8-sig'), voc), None),
    'VOC with corners swapped': (
        text(XML, lambda s: s.replace('xmin', 'x').replace('xmax', 'xmin').replace('<x>', '<xmax>')
             .replace('</x>', '</xmax>'), voc), None),
    'VOC of size 0': (text(XML, lambda s: s.replace('<object>', f'{SIZE_0}<object>', 1), voc), None),
    'VOC without a name': (text(XML, lambda s: s.replace('<name>bee</name>', ''), voc), 'needs name and bndbox'),
    'VOC without a box': (text(XML, lambda s: s.replace('bndbox', 'polygon'), voc), 'needs name and bndbox'),
    'VOC cut short': (text(XML, lambda s: s[:60], voc), 'not XML'),
    'VOC with another class in val': (text('val/i0.xml', lambda s: s.replace('wasp', 'fly'), voc),
                                     "class 'fly' is none"),
    'VOC in training and testing': (files(lambda r: (moved('train', 'Training')(r), moved('val', 'Valid')(r)), voc),
                                    None),
    'YOLO': (yolo, None),
    'YOLO of Roboflow': (text('data.yaml', lambda s: s.replace('images/', '../images/'), yolo), None),
    'YOLO of another machine': (text('data.yaml', lambda s: 'path: /content/datasets/bees\n' + s, yolo), None),
    'YOLO, names numbered': (text('data.yaml', lambda s: s.replace(str(NAMES), '{0: wasp, 1: bee}'), yolo), None),
    'YOLO, names from 1': (text('data.yaml', lambda s: s.replace(str(NAMES), '{1: wasp, 2: bee}'), yolo), 'from 0'),
    'YOLO, names twice': (text('data.yaml', lambda s: s.replace(str(NAMES), '[bee, bee]'), yolo), 'occur twice: bee'),
    'YOLO, more classes than names': (text('data.yaml', lambda s: s.replace('nc: 2', 'nc: 3'), yolo), 'nc is 3, but'),
    'YOLO, no names': (text('data.yaml', lambda s: s.split('names')[0], yolo), ''),
    'YOLO, no train': (text('data.yaml', lambda s: s.replace('train: images/train', ''), yolo), 'without train images'),
    'YOLO in CRLF': (text(LABEL, lambda s: s.replace('\n', '\r\n'), yolo), None),
    'YOLO with a mark': (text(LABEL, lambda s: s.encode('utf-8-sig'), yolo), None),
    'YOLO, class 1.0': (text(LABEL, lambda s: s.replace('1 ', '1.0 ', 1), yolo), None),
    'YOLO, blank lines': (text(LABEL, lambda s: '\n\n' + s + '  \n', yolo), None),
    'YOLO with scores': (text(LABEL, lambda s: s.strip() + ' 0.9\n', yolo), 'expected class, x, y, w, h'),
    'YOLO in pixels': (text(LABEL, lambda s: '1 26 24 30 24\n', yolo), 'must be shares of the image'),
    'YOLO, class 2': (text(LABEL, lambda s: '2' + s[1:], yolo), 'the classes are 0 to 1'),
    'YOLO, class by name': (text(LABEL, lambda s: 'bee' + s[1:], yolo), 'expected class'),
    'YOLO, commas': (text(LABEL, lambda s: s.replace(' ', ','), yolo), 'expected class'),
    'YOLO, cut short': (text(LABEL, lambda s: '1 0.5', yolo), 'expected class'),
}  # fmt: skip
DETECTION = {**COCO, **OTHER, **{name: (make, None) for name, make in DOCUMENTED.items()}}
