"""Looks at a COCO detection file before training: what would fail later, or silently train on nothing."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mmlight.data.coco_folder import read_coco
from mmlight.data.mend import MEND
from mmlight.errors import InputError

LEVELS = ('error', 'warn')
OPENED, DARK = 5, 65536 // 8  # images that are looked into, and what the brightest of their pixels should reach


def check_coco(
    ann_file: str | Path,
    img_dir: str | Path,
    classes: Sequence[str] | None = None,
    *,
    level: str = 'error',
    missing_images: str | None = None,
    annotated: bool = True,
) -> list[str]:
    """Checks a COCO detection file against its images and the classes that a config trains.

    Args:
        ann_file: the JSON file.
        img_dir: the folder that its ``file_name`` entries start from.
        classes: class names of the config; None: whatever the file defines.
        level: ``'error'`` or ``'warn'``: what annotated categories outside ``classes`` and missing images are.
        missing_images: the same for missing images alone; by default ``level``.
        annotated: whether the file must have annotations.

    Returns:
        Warnings: boxes without size, annotations of unknown images, and what ``level`` allows.

    Raises:
        InputError: file or folder missing; not COCO; ids that occur twice; boxes none of which is usable; classes that
            the file lacks; by ``level``, boxes beyond their image, categories that the classes lack, missing images.
    """
    if level not in LEVELS or (missing_images or level) not in LEVELS:
        raise InputError(f'check_coco: level={level!r}, missing_images={missing_images!r}: allowed are {LEVELS}')
    img_dir = Path(img_dir)
    data = read_coco(ann_file, annotated)
    if not img_dir.is_dir():
        raise InputError(f'image folder {img_dir}: {"is a file" if img_dir.exists() else "does not exist"}')
    where = f'annotation file {ann_file}'
    encoding = json.detect_encoding(Path(ann_file).read_bytes()[:4])
    if encoding != 'utf-8':
        raise InputError(f'{where}: its encoding is {encoding}, pycocotools reads UTF-8; {FIX}')
    if not data['images']:
        raise InputError(f'{where}: lists no images')
    for key in ('images', 'annotations', 'categories'):
        check_unique((entry.get('id') for entry in data[key]), f'{where}: {key} ids')
    info = data.get('info')
    said = info.get('repaired') if isinstance(info, dict) else None
    warnings = list(said) if isinstance(said, list) else []
    files = Counter(str(entry['file_name']) for entry in data['images'])
    if twice := [name for name, count in files.items() if count > 1]:
        warnings.append(f'{where}: images listed more than once, each with a part of their boxes: {few(twice)}')
    warnings += _check_categories(data, classes, where, level)
    if data['annotations'] or annotated:
        warnings += _check_boxes(data, where, level, annotated)
    _check_fields(data, where, annotated)
    absent = absent_files([entry['file_name'] for entry in data['images']], img_dir)
    if absent:
        text = f'{len(absent)} of {len(data["images"])} images listed in {ann_file} are not in {img_dir}: {few(absent)}'
        if (missing_images or level) == 'error' or len(absent) == len(data['images']):
            raise InputError(text)
        warnings.append(text)
    return warnings + dark_images([img_dir / entry['file_name'] for entry in data['images']])


def dark_images(paths: Sequence[Path]) -> list[str]:
    """Says of images of 16 bits that use the low ones alone; every loader here keeps the high 8 bits."""
    for path in paths[:: max(1, len(paths) // OPENED)][:OPENED]:
        try:
            with Image.open(path) as image:
                most = int(np.asarray(image).max()) if image.mode.startswith('I') else DARK
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            continue  # the loader's
        if most < DARK:
            return [
                f'image {path}: 16 bits a pixel with values up to {most}; the upper 8 bits are what is trained on: '
                'nearly black, scale them to 65535'
            ]
    return []


FIX = '`mmlight train --data FOLDER` repairs that in a copy'


def _check_fields(data: dict, where: str, annotated: bool) -> None:
    """What mmdet and pycocotools read of every image and annotation."""
    for entry in data['images']:
        for side in ('width', 'height'):
            if type(entry.get(side)) not in (int, float) or not 0 < entry[side] < float('inf'):
                raise InputError(
                    f'{where}: image {entry["file_name"]}: {side} {entry.get(side)!r}, expected a number of pixels; '
                    f'{FIX}'
                )
        if not isinstance(entry['file_name'], str):
            raise InputError(f'{where}: image {entry["id"]}: file_name {entry["file_name"]!r}, expected a string')
    for entry in data['categories']:
        if type(entry['id']) is not int or not isinstance(entry['name'], str):
            raise InputError(
                f'{where}: category id {entry["id"]!r}, name {entry["name"]!r}: expected a whole number and a string; '
                f'{FIX}'
            )
    if annotated:
        _check_annotation_fields(data['annotations'], where)


def _check_annotation_fields(annotations: Sequence[dict], where: str) -> None:
    needed = {'id': (int,), 'area': (int, float), 'iscrowd': (int,)}
    for index, entry in enumerate(annotations):
        for field, kinds in needed.items():
            if type(entry.get(field)) not in kinds:
                said = f'{entry[field]!r}' if field in entry else 'missing'
                raise InputError(f'{where}: annotations[{index}]: {field} is {said}, expected a number; {FIX}')
    if any(entry['id'] == 0 for entry in annotations):
        raise InputError(f'{where}: an annotation has the id 0, whose match pycocotools takes for none; {FIX}')


def check_unique(ids: Iterable, what: str) -> None:
    """Raise an ``InputError`` that begins with ``what`` if an id stands twice."""
    twice = [key for key, count in Counter(ids).items() if count > 1]
    if twice:
        raise InputError(f'{what} occur more than once: {few(twice)}')


def _check_categories(data: dict, classes: Sequence[str] | None, where: str, level: str) -> list[str]:
    names = {entry['id']: entry['name'] for entry in data['categories']}
    used = Counter(entry['category_id'] for entry in data['annotations'])
    unknown = sorted(used.keys() - names.keys(), key=str)
    if unknown:
        raise InputError(
            f'{where}: annotations use category ids that it does not define: {few(unknown)}; defined: {few(names)}'
        )
    if classes is None:
        return []
    lacking = [name for name in classes if name not in names.values()]
    extra = {names[key]: count for key, count in used.items() if names[key] not in classes}
    both = f'classes of the config: {few(classes)}; categories of the file: {few(names.values())}'
    if lacking:
        raise InputError(f'{where}: has no category for the classes {few(lacking)} ({both})')
    order = [entry['name'] for entry in data['categories'] if entry['name'] in classes]
    if order != list(classes):
        raise InputError(
            f'{where}: mmdet numbers labels in the order of its categories, {few(order)}, but the classes of the '
            f'config are {few(classes)}: every name would be wrong; write metainfo.classes in the order of the file'
        )
    if extra:
        counts = few([f'{name} ({count})' for name, count in extra.items()])
        text = f"{where}: annotations of categories that the config's classes lack: {counts} ({both})"
        if level == 'error':
            raise InputError(f"{text}; set metainfo.classes, or data_check = 'warn' to train without them")
        return [text]
    return []


def _check_boxes(data: dict, where: str, level: str, annotated: bool) -> list[str]:
    annotations = data['annotations']
    if not annotations:
        return [f'{where}: no annotations']
    for entry in annotations:
        box = entry['bbox']
        if not isinstance(box, (list, tuple)) or len(box) != 4 or any(type(v) not in (int, float) for v in box):
            raise InputError(f'{where}: annotation {entry["id"]}: bbox {box!r}, expected four numbers x, y, w, h')
    ids = np.array([entry['id'] for entry in annotations], dtype=object)
    x, y, w, h = np.array([entry['bbox'] for entry in annotations], dtype=float).T
    sizes = {entry['id']: (entry['width'], entry['height']) for entry in data['images']}
    try:
        width, height = np.array([sizes.get(e['image_id'], (np.nan, np.nan)) for e in annotations], dtype=float).T
    except (TypeError, ValueError) as error:
        raise InputError(f'{where}: width or height of an image is not a number') from error
    orphan = np.isnan(width)
    if (np.abs([x, y, w, h]) <= 1).all() and (width[~orphan] > 2).any():
        raise InputError(
            f'{where}: all {len(ids)} boxes lie between 0 and 1: fractions of the image, as YOLO writes them; expected '
            f'x, y, w, h in pixels; {MEND}'
        )
    flat = ~((w > 0) & (h > 0) & np.isfinite(x + y + w + h))
    outside = ~flat & ~orphan & ((x >= width) | (y >= height) | (x + w <= 0) | (y + h <= 0))
    # a pixel's width of tolerance: many converters round
    beyond = ~flat & ~orphan & ~outside & ((x < -1) | (y < -1) | (x + w > width + 1) | (y + h > height + 1))
    crowd = np.array([bool(entry.get('iscrowd')) for entry in annotations])
    small = ~flat & ~orphan & ((w < 1) | (h < 1))  # mmdet leaves them out
    empty = ~flat & np.array([type(entry.get('area')) in (int, float) and entry['area'] <= 0 for entry in annotations])
    ignored = np.array([bool(entry.get('ignore')) for entry in annotations])
    unusable = orphan | flat | outside | small | crowd | empty | ignored
    if unusable.all():
        raise InputError(
            f'{where}: none of its {len(ids)} boxes is usable: {flat.sum()} of no width or height, {outside.sum()} '
            f'outside their image, {orphan.sum()} of images that it does not list, {small.sum()} below a pixel, '
            f'{crowd.sum()} crowds, {empty.sum()} of area 0, {ignored.sum()} marked ignore; '
            f'expected x, y, w, h in pixels{f"; {MEND}" if crowd.all() else ""}'
        )
    if level == 'error' and (outside | beyond).any():
        hit = outside | beyond
        raise InputError(
            f'{where}: {hit.sum()} boxes reach beyond their image: ids {few(ids[hit].tolist())}; expected x, y, w, h '
            "in pixels within width and height; data_check = 'warn' trains all the same"
        )
    texts = {
        'boxes without positive width and height (left out)': flat,
        'boxes wholly outside their image (left out)': outside,
        'boxes that reach beyond their image': beyond,
        'boxes narrower or lower than a pixel (left out)': small,
        'annotations of images that it does not list (left out)': orphan,
        'annotations with the area 0 (left out)': empty,
        'annotations marked ignore (left out)': ignored & ~crowd,
        'crowds, which are neither objects nor background in training': crowd & annotated,
    }
    return [f'{where}: {hit.sum()} {text}: ids {few(ids[hit].tolist())}' for text, hit in texts.items() if hit.any()]


def absent_files(names: list[str], folder: Path) -> list[str]:
    """The names of which there is no file below ``folder``; one directory listing each instead of one look per file."""
    listed: dict[str, set[str]] = {}
    missing = []
    for name in names:
        parent, base = os.path.split(os.path.join(folder, name))
        if parent not in listed:
            listed[parent] = set(os.listdir(parent)) if os.path.isdir(parent) else set()
        if base not in listed[parent]:
            missing.append(name)
    return missing


def few(items: Iterable, most: int = 5) -> str:
    """The first ``most`` of ``items`` in a message, and how many more there are."""
    items = list(items)
    more = f' and {len(items) - most} more' if len(items) > most else ''
    return ', '.join(str(item) for item in items[:most]) + more
