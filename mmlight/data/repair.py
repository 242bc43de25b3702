"""What exporters leave out of a COCO file, and what they number or order otherwise, put right in a copy.

mmdet numbers labels in the order of the file's categories and needs ``area`` and ``iscrowd``; pycocotools takes a match
with annotation 0 for none; images are turned by their EXIF orientation when they are read. A repaired file says under
``info.repaired`` what was changed.
"""

import functools
import hashlib
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from pathlib import Path
from urllib.parse import unquote

from PIL import Image, UnidentifiedImageError

from mmlight.errors import InputError
from mmlight.files import put

IMAGES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.jfif')
ORIENTATION = 0x0112  # of EXIF
CAN_MEND = '; `mmlight check FOLDER --fix COPY` may mend it'
SPLITS = {'train': ('train', 'training'), 'val': ('val', 'valid', 'validation'), 'test': ('test', 'testing')}
"""Split -> words that name it in folders and files, in any case."""
HOLD_OUT = 5  # every fifth image is for validation where there are no splits
SIZE_TOLERANCE = 0.02  # of the two scales of a resized image
Point = tuple[float, float]

TURNS: dict[int, Callable[[float, float, float, float], Point]] = {
    2: lambda x, y, w, h: (w - x, y),
    3: lambda x, y, w, h: (w - x, h - y),
    4: lambda x, y, w, h: (x, h - y),
    5: lambda x, y, w, h: (y, x),
    6: lambda x, y, w, h: (h - y, x),
    7: lambda x, y, w, h: (h - y, w - x),
    8: lambda x, y, w, h: (y, w - x),
}
"""EXIF orientation -> a point of the stored image (w x h) in the image as it is shown."""


def image_size(path: str | os.PathLike) -> tuple[tuple[int, int], int] | None:
    """((width, height) as stored, EXIF orientation) from the file's header, or None where it cannot be read."""
    try:
        with Image.open(path) as image:
            turn = image.getexif().get(ORIENTATION, 1)
            return image.size, turn if turn in TURNS else 1
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def shown_size(path: str | os.PathLike) -> tuple[int, int] | None:
    """(width, height) of the image as loaders give it, turned by its EXIF orientation."""
    found = image_size(path)
    if found is None:
        return None
    (width, height), turn = found
    return (height, width) if turn >= 5 else (width, height)


class Repair:
    """Changes a COCO dict in place and keeps a list of what it changed.

    Args:
        data: As :func:`mmlight.data.coco_folder.read_coco` gives it.
        where: Names the file in messages.
        images: Folder that ``file_name`` entries start from.
        classes: Names whose order the categories are to have; the others, or all, follow their ids.
    """

    def __init__(self, data: dict, where: str, images: str | os.PathLike, classes: Iterable[str] = ()) -> None:
        self.data, self.where, self.images = data, where, Path(images)
        self.rank = {name: number for number, name in enumerate(classes)}
        self.said: list[str] = []

    def run(self) -> list[str]:
        """What was changed, a line each; nothing where the file was right."""
        self._image_ids()
        self._images()
        self._categories()
        self._annotations()
        self._sizes()
        return self.said

    def _say(self, count: int, text: str) -> None:
        if count:
            self.said.append(f'{self.where}: {count} {text}')

    def _image_ids(self) -> None:
        """pycocotools sorts them, which fails where numbers and strings are mixed."""
        ids = [entry['id'] for entry in self.data['images']]
        if all(type(one) is int for one in ids):
            return
        for one in ids:
            if one is None or not isinstance(one, (int, float, str)):
                raise InputError(f'{self.where}: image id {one!r}, expected a whole number')
        numbers = {one: number for number, one in enumerate(ids, 1)}
        for entry in self.data['images']:
            entry['id'] = numbers[entry['id']]
        for entry in self.data['annotations']:
            known = isinstance(entry['image_id'], (int, float, str))
            entry['image_id'] = numbers.get(entry['image_id'], 0) if known else 0  # 0: of no image
        self._say(len(ids), 'images are numbered from 1; their ids were no whole numbers')

    def _images(self) -> None:
        sizes = texts = 0
        self._file_names()
        for entry in self.data['images']:
            given = [entry.get(key) for key in ('width', 'height')]
            listed = [as_number(side) for side in given]
            if any(side is None or side < 1 for side in listed):
                found = shown_size(self.images / entry['file_name'])
                if found is None:
                    raise InputError(
                        f'{self.where}: image {entry["file_name"]}: width, height {given}, expected two numbers of '
                        'pixels; its file cannot be read either'
                    )
                listed, sizes = list(found), sizes + 1
            elif any(isinstance(side, str) for side in given):
                texts += 1
            entry['width'], entry['height'] = (int(side) for side in listed if side is not None)
        self._say(sizes, 'images had no width and height; taken from their files')
        self._say(texts, 'images had width and height written as text, they are numbers now')

    def _file_names(self) -> None:
        files, moved = Files(self.images), {}
        for entry in self.data['images']:
            name = entry['file_name']
            if not isinstance(name, str) or not name:
                raise InputError(f'{self.where}: image {entry["id"]}: file_name {name!r}, expected a string{CAN_MEND}')
            if not (self.images / name).is_file() and (found := files.find(name)):
                moved[name] = found
        kept = Counter(moved.values()) + Counter(entry['file_name'] for entry in self.data['images'])
        moved = {name: found for name, found in moved.items() if kept[found] == 1}  # else: which of them it is
        for entry in self.data['images']:
            entry['file_name'] = moved.get(entry['file_name'], entry['file_name'])
        example = next((f'{name} -> {found}' for name, found in moved.items()), '')
        self._say(len(moved), f'file names are written as the files are: {example}')

    def _categories(self) -> None:
        categories = self.data['categories']
        for entry in categories:
            if isinstance(entry['id'], bool) or not isinstance(entry['id'], int):
                raise InputError(f'{self.where}: category id {entry["id"]!r}, expected a whole number{CAN_MEND}')
            if isinstance(entry['name'], bool) or not isinstance(entry['name'], (str, int, float)):
                raise InputError(
                    f'{self.where}: category {entry["id"]}: name {entry["name"]!r}, expected a string{CAN_MEND}'
                )
        numbers = [entry for entry in categories if not isinstance(entry['name'], str)]
        for entry in numbers:
            entry['name'] = str(entry['name'])
        self._say(len(numbers), 'category names were numbers, they are strings now')
        self._lacking()
        kept = kept_categories(self.data)
        self._say(
            len(categories) - len(kept),
            'categories without boxes that stand for the parent of others or the background left out',
        )
        ordered = sorted(kept, key=lambda entry: (self.rank.get(entry['name'], len(self.rank)), entry['id']))
        if ordered != kept:
            self.said.append(
                f'{self.where}: categories are sorted by the classes or their ids, so that labels and names agree'
            )
        self.data['categories'] = ordered

    def _lacking(self) -> None:
        """Exporters list the categories of a split's own boxes alone; labels are counted from the list."""
        categories = self.data['categories']
        known = {entry['name'] for entry in categories}
        lacking = [name for name in self.rank if name not in known]
        if lacking and known & self.rank.keys():
            free = max(entry['id'] for entry in categories) + 1
            categories += [dict(id=free + number, name=name) for number, name in enumerate(lacking)]
            self.said.append(f'{self.where}: categories of the training that it lacks are added: {few(lacking)}')

    def _annotations(self) -> None:
        self._boxes_as_text()
        flat = [entry for entry in self.data['annotations'] if _is_flat(entry)]
        annotations = [entry for entry in self.data['annotations'] if not _is_flat(entry)]
        if flat and annotations:  # without any the check says more
            self.data['annotations'] = annotations
            self._say(len(flat), 'boxes of no width or height left out; pycocotools would count them as missed')
        annotations = self.data['annotations']
        crowds = areas = texts = 0
        for entry in annotations:
            area = entry.get('area')
            as_text = isinstance(area, str) and as_number(area) is not None
            texts += as_text or isinstance(entry.get('iscrowd'), (str, bool))
            if entry.get('iscrowd') in ('0', '1'):
                entry['iscrowd'] = int(entry['iscrowd'])
            if entry.get('iscrowd') is None:
                entry['iscrowd'], crowds = 0, crowds + 1
            elif entry['iscrowd'] not in (0, 1):
                raise InputError(
                    f'{self.where}: annotation {entry.get("id")}: iscrowd {entry["iscrowd"]!r}, expected 0 or 1'
                )
            entry['iscrowd'] = int(entry['iscrowd'])
            if not (as_number(area) or 0) > 0:  # mmdet leaves out what has none
                entry['area'], areas = _area(entry, self.where), areas + 1
            else:
                entry['area'] = as_number(entry['area'])
        self._say(crowds, 'annotations had no iscrowd, it is 0 now')
        self._say(areas, 'annotations had no area, or 0; taken from their masks or boxes')
        self._say(texts, 'annotations had area or iscrowd written as text or true and false, they are numbers now')
        ids = [entry.get('id') for entry in annotations]
        if any(type(one) is not int or one == 0 for one in ids) or len(set(ids)) < len(ids):
            for number, entry in enumerate(annotations, 1):
                entry['id'] = number
            self._say(len(ids), 'annotations are numbered from 1; their ids were missing, not whole, twice, or 0')

    def _boxes_as_text(self) -> None:
        changed = 0
        for entry in self.data['annotations']:
            box = entry['bbox']
            if isinstance(box, list) and len(box) == 4 and any(isinstance(side, str) for side in box):
                sides = [as_number(side) for side in box]
                if None not in sides:
                    entry['bbox'], changed = sides, changed + 1
        self._say(changed, 'boxes were written as text, they are numbers now')

    def _sizes(self) -> None:
        """Boxes move with images that were resized after annotation, or that EXIF turns."""
        by_image: dict = {}
        for entry in self.data['annotations']:
            by_image.setdefault(entry['image_id'], []).append(entry)
        headers = {image['id']: image_size(self.images / image['file_name']) for image in self.data['images']}
        told = set()  # whether sizes are those before EXIF turned the images, where that can be told
        for image in self.data['images']:
            stored, turn = headers[image['id']] or ((0, 0), 1)
            if turn >= 5 and stored[0] != stored[1]:
                told.add((image['width'], image['height']) == stored)
        turned, resized, unsure = [], [], []
        for image in self.data['images']:
            name, listed, header = image['file_name'], (image['width'], image['height']), headers[image['id']]
            if header is None:  # missing and damaged files are told of by the check
                continue
            stored, turn = header
            shown = stored[::-1] if turn >= 5 else stored
            if listed == shown and (turn == 1 or stored != shown or told != {True}):
                unsure += [name] if turn > 1 and stored == shown and told != {False} else []
                continue
            if listed == stored:
                move = _turn(turn, *stored)
                turned.append(name)
            else:
                across, down = shown[0] / listed[0], shown[1] / listed[1]
                if abs(across / down - 1) > SIZE_TOLERANCE:
                    raise InputError(
                        f'{self.where}: says that image {name} has {listed[0]} x {listed[1]} pixels, the file has '
                        f'{shown[0]} x {shown[1]}: boxes cannot fit'
                    )
                move = scaling(across, down)
                resized.append(name)
            image['width'], image['height'] = shown
            for entry in by_image.get(image['id'], ()):
                _move(entry, move, self.where)
        self._say(len(turned), f'images are turned by their EXIF orientation, their boxes too: {few(turned)}')
        self._say(len(unsure), f'images are turned by EXIF, their boxes taken to be those of the turned: {few(unsure)}')
        self._say(len(resized), f'images have another size than the file says, their boxes are scaled: {few(resized)}')


def kept_categories(data: dict) -> list[dict]:
    """The categories of a COCO dict without those that exporters add: a parent of others, or labelme's background."""
    categories = data['categories']
    used = {str(entry['category_id']) for entry in data['annotations']}
    added = {str(one.get('supercategory')) for one in categories if one.get('supercategory') not in (None, one['name'])}
    added |= {'_background_', '__ignore__'}
    return [entry for entry in categories if str(entry['id']) in used or entry['name'] not in added]


class Files:
    """What is below a folder, by the names that annotation files have for it.

    Exporters write paths of another machine or system, and file systems tell upper from lower case, and one spelling
    of an accent from the other, or do not.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @functools.cached_property
    def _tails(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for place, _, names in os.walk(self.folder):
            for name in names:
                parts = Path(place, name).relative_to(self.folder).parts
                for start in range(len(parts)):
                    found.setdefault(_spelt(parts[start:]), set()).add('/'.join(parts))
        return found

    @functools.cached_property
    def _stems(self) -> dict[str, set[str]]:
        """Of images, which are often saved in another format after annotation, or listed without a suffix."""
        found: dict[str, set[str]] = {}
        for path in {path for paths in self._tails.values() for path in paths}:
            if Path(path).suffix.lower() in IMAGES:
                found.setdefault(_spelt([Path(path).stem]), set()).add(path)
        return found

    def find(self, name: str) -> str | None:
        """The path below the folder of the one file that ends as ``name`` does, in another format if need be."""
        parts = [part for part in name.replace('\\', '/').split('/') if part not in ('', '.', '..')]
        for spelling in (parts, [unquote(part) for part in parts]):  # Label Studio's names are those of URLs
            for start in range(len(parts)):
                found = self._tails.get(_spelt(spelling[start:]), set())
                if found:
                    return next(iter(found)) if len(found) == 1 else None
        stem = (
            _spelt([Path(parts[-1]).stem if Path(parts[-1]).suffix.lower() in IMAGES else parts[-1]]) if parts else ''
        )
        found = self._stems.get(stem, set())
        return next(iter(found)) if len(found) == 1 else None


def _spelt(parts: Sequence[str]) -> str:
    return unicodedata.normalize('NFC', '/'.join(parts)).casefold()


def few(names: Sequence[object], most: int = 3) -> str:
    """The first of some names, and how many more there are."""
    return ', '.join(map(str, names[:most])) + (f' and {len(names) - most} more' if len(names) > most else '')


def as_number(value: object) -> float | None:
    """A real, finite number, also where it stands as a string; None for anything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, Real) or value != value or abs(value) == float('inf'):
        return None
    return value  # type: ignore[return-value]  # a Real


def _is_flat(entry: dict) -> bool:
    box = entry['bbox']
    sides = [as_number(side) for side in box[2:]] if isinstance(box, (list, tuple)) and len(box) == 4 else []
    return any(side is not None and side <= 0 for side in sides)


def outline(entry: dict) -> list[list[float]] | None:
    found = entry.get('segmentation')
    usable = isinstance(found, list) and found and all(isinstance(one, list) and len(one) >= 6 for one in found)
    return found if usable else None


def _area(entry: dict, where: str) -> float:
    polygons = outline(entry)
    if polygons:
        area = sum(
            abs(sum(xs * yn - xn * ys for (xs, ys), (xn, yn) in zip(points, points[1:] + points[:1], strict=True))) / 2
            for points in ([*zip(one[::2], one[1::2], strict=False)] for one in polygons)
        )
        if area > 0:
            return area
    box = entry['bbox']
    if not isinstance(box, (list, tuple)) or len(box) != 4 or any(as_number(value) is None for value in box):
        raise InputError(f'{where}: annotation {entry.get("id")}: bbox {box!r}, expected four numbers x, y, w, h')
    return box[2] * box[3]


def _turn(turn: int, width: int, height: int) -> Callable[[float, float], Point]:
    return lambda x, y: TURNS[turn](x, y, width, height)


def scaling(across: float, down: float) -> Callable[[float, float], Point]:
    return lambda x, y: (x * across, y * down)


def _move(entry: dict, move: Callable[[float, float], Point], where: str) -> None:
    """Moves an annotation's box and polygons."""
    x, y, w, h = entry['bbox']
    corners = [move(x, y), move(x + w, y + h)]
    (left, right), (top, bottom) = (sorted(side) for side in zip(*corners, strict=True))
    before = w * h
    entry['bbox'] = [left, top, right - left, bottom - top]
    entry['area'] *= (right - left) * (bottom - top) / before if before else 1
    polygons = outline(entry)
    if polygons:
        entry['segmentation'] = [
            [value for point in zip(one[::2], one[1::2], strict=True) for value in move(*point)] for one in polygons
        ]
    elif isinstance(entry.get('segmentation'), dict):
        raise InputError(
            f'{where}: annotation {entry["id"]}: its run-length mask belongs to another size or orientation of the '
            'image'
        )


def repaired_file(ann_file: Path, data: dict, said: Iterable[str], folder: Path) -> Path:
    """The repaired file in ``folder``, written once; its name holds a digest of what it was made from."""
    info = data['info'] if isinstance(data.get('info'), dict) else {}
    before = info.get('repaired')
    said = [*(before if isinstance(before, list) else ()), *said]
    data = {**data, 'info': {**info, 'repaired': said}}
    text = json.dumps(data)
    target = folder / f'{ann_file.stem.lstrip("_")}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json'
    if not target.is_file():
        put(text, target)
    return target
