"""Predictions in the formats of other tools, made from what is in ``predictions.json``."""

import csv
import io
import json
from pathlib import Path

import cv2
from mmengine.config import Config

from mmlight.errors import InputError
from mmlight.files import put
from mmlight.runtime.config import innermost, is_segmentation

FORMATS = ('coco', 'csv', 'yolo', 'masks')
NOT_FOR_LABELS = ('coco', 'yolo')  # formats of boxes


def check_formats(formats: tuple[str, ...], cfg: Config) -> None:
    """Raise an ``InputError`` unless every format is known and can hold what this config's model predicts."""
    for name in formats:
        if name not in FORMATS:
            raise InputError(f'--format {name}: allowed are {", ".join(FORMATS)}')
        if is_segmentation(cfg) and name in NOT_FOR_LABELS:
            raise InputError(f'--format {name}: holds boxes, but {cfg.filename} is a segmentor; allowed are csv, masks')


def export(formats: tuple[str, ...], content: dict, folder: Path, cfg: Config) -> None:
    """Write ``content`` (of ``predictions.json``) in further formats below ``folder``.

    ``coco``: ``coco_results.json``, a list as pycocotools' ``loadRes`` takes it; the ids of images and categories are
    those of the config's test annotations where these list the image; other images are numbered behind the largest id
    by their position in ``predictions.json``. ``csv``: ``predictions.csv``, a row
    a detection (pixels) or a class and its share. ``yolo``: ``yolo/NAME.txt``, lines of class, centre x, centre y,
    width, height (shares of the image), score. ``masks``: ``masks/NAME_K.png``, 255 where detection K's mask is (a
    segmentor's are in ``labels/`` anyway).
    """
    for name in formats:
        WRITERS[name](content, folder, cfg)


def files_of(entry: dict) -> str:
    """The name, without suffix, of the files of one image; of a frame, below a folder for its video."""
    if 'frame' in entry:
        return f'{Path(entry["video"]).stem}/{entry["frame"]:06d}'
    return Path(entry['picture']).stem


def _coco(content: dict, folder: Path, cfg: Config) -> None:
    images, _ = ids(cfg)
    found, free = [], max((one for one in images.values() if isinstance(one, int)), default=-1) + 1
    for number, entry in enumerate(content['images']):
        image = images.get(_key(entry['file']), free + number)
        for one in entry['detections']:
            kept = {key: one[key] for key in ('category_id', 'bbox', 'score', 'segmentation') if key in one}
            found.append({'image_id': image, **kept})
    put(json.dumps(found) + '\n', folder / 'coco_results.json')


def ids(cfg: Config) -> tuple[dict[str, int], dict[str, int]]:
    """Path of an image -> its id and name of a category -> its id, by the config's test annotations."""
    dataset = innermost(cfg.test_dataloader.dataset)
    root = Path(dataset.get('data_root') or '')
    try:
        data = json.loads((root / (dataset.get('ann_file') or '')).read_bytes())
        prefix = root / (dataset.get('data_prefix') or {}).get('img', '')
        images = {_key(prefix / one['file_name']): one['id'] for one in data['images']}
        return images, {str(one['name']): one['id'] for one in data['categories']}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}, {}


def _key(path: str | Path) -> str:
    return str(Path(path).absolute().resolve())


def _csv(content: dict, folder: Path, cfg: Config) -> None:
    boxes = ['category_id', 'category', 'score', 'x', 'y', 'width', 'height']
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(['file', 'frame', *(['category', 'share'] if is_segmentation(cfg) else boxes)])
    for entry in content['images']:
        start = [entry['file'], entry.get('frame', '')]
        for one in entry.get('detections', ()):
            rows.writerow([*start, one['category_id'], one['category'], one['score'], *one['bbox']])
        for name, share in entry.get('share', {}).items():
            rows.writerow([*start, name, share])
    put(text.getvalue(), folder / 'predictions.csv')


def _yolo(content: dict, folder: Path, cfg: Config) -> None:
    classes = {name: index for index, name in enumerate(content['classes'])}
    for entry in content['images']:
        across, down = entry['width'], entry['height']
        lines = []
        for one in entry['detections']:
            x, y, width, height = one['bbox']
            box = ((x + width / 2) / across, (y + height / 2) / down, width / across, height / down)
            lines.append(
                ' '.join(
                    [
                        str(classes.get(one['category'], one['category_id'])),
                        *(f'{side:.6f}' for side in box),
                        f'{one["score"]:.5f}',
                    ]
                )
            )
        file = folder / 'yolo' / f'{files_of(entry)}.txt'
        put(''.join(f'{line}\n' for line in lines), file)


def _masks(content: dict, folder: Path, cfg: Config) -> None:
    from pycocotools.mask import decode

    for entry in content['images']:
        for number, one in enumerate(entry.get('detections', ())):
            if 'segmentation' in one:
                file = folder / 'masks' / f'{files_of(entry)}_{number:03d}.png'
                file.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(file), decode(one['segmentation']) * 255)


WRITERS = {'coco': _coco, 'csv': _csv, 'yolo': _yolo, 'masks': _masks}
