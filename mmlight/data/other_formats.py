"""Pascal VOC and YOLO data sets as COCO detection files, the one form that everything behind them reads.

VOC: a folder of XML files, one an image (the devkit's ``JPEGImages/``, ``Annotations/``, ``ImageSets/Main/*.txt``, or
XML beside the images in ``train/``, ``valid/``, ``test/``). YOLO: a text file an image with lines of class, centre and
size as shares of the image, or of class and polygon; names and splits in ``data.yaml``, or in ``obj.names`` or
``classes.txt`` beside ``images/{train,val}``.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import yaml

from mmlight.data import repair
from mmlight.data.repair import IMAGES, TURNS, image_size, shown_size
from mmlight.errors import InputError

SPLITS = {**repair.SPLITS, 'train': (*repair.SPLITS['train'], 'trainval')}
XML_FOLDERS = ('annotations', 'labels', 'xml', 'xmls')
CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')
TOLERANCE = 1.01
"""Greatest share of the image that a YOLO coordinate may be; exporters round."""

Objects = list[tuple[str, list[float], list[float] | None, bool]]
"""Class, box (x, y, w, h in pixels), polygon, whether it is to be ignored."""
Split = tuple[list[Path], Callable[[Path, tuple[int, int]], Objects]]
"""Images, and what reads the objects of one, given its width and height."""


def read_other(root: Path) -> tuple[str, dict[str, Split], list[str]] | None:
    """The format of a data set that is not COCO's, its splits, and its class names where it lists them.

    Returns:
        ``'Pascal VOC'`` or ``'YOLO'``, split name -> images and reader, names; None if the folder holds neither.

    Raises:
        InputError: for a data set of such a format that lacks something; the message says what was looked for.
    """
    for name, find in (('YOLO', _yolo), ('Pascal VOC', _voc)):
        found = find(root)
        if found is not None:
            splits, names = found
            empty = [split for split in ('train', 'val') if not splits.get(split, ([],))[0]]
            if 'train' in empty or (empty and 'val' in splits):
                raise InputError(
                    f'data folder {root}: a {name} data set without {empty[0]} images; '
                    f'known splits are {", ".join(splits) or "none"}'
                )
            return name, splits, names
    return None


def as_coco(root: Path, split: Split, names: Sequence[str] = ()) -> dict:
    """One split as a COCO dict; file names start from ``root``.

    Args:
        root: Of the data set.
        split: One of :func:`read_other`.
        names: Class names in the order of their labels; by default those found, sorted.

    Raises:
        InputError: for an image or an annotation that cannot be read, and for a class that ``names`` lacks.
    """
    images, objects = [], []
    for number, path in enumerate(split[0], 1):
        size = shown_size(path)
        if size is None:
            raise InputError(f'image {path}: not an image, or damaged')
        images.append(dict(id=number, file_name=os.path.relpath(path, root), width=size[0], height=size[1]))
        objects += [(number, *entry) for entry in split[1](path, size)]
    names = list(names) or sorted({name for _, name, *_ in objects})
    numbers = {name: index for index, name in enumerate(names, 1)}
    annotations = []
    for index, (image, name, box, polygon, ignored) in enumerate(objects, 1):
        if name not in numbers:
            raise InputError(f'data folder {root}: class {name!r} is none of {", ".join(names[:10])}')
        entry = dict(id=index, image_id=image, category_id=numbers[name], bbox=box, area=box[2] * box[3])
        annotations.append(entry | dict(iscrowd=int(ignored), segmentation=[polygon] if polygon else []))
    categories = [dict(id=number, name=name) for name, number in numbers.items()]
    return dict(images=images, annotations=annotations, categories=categories)


def _child(folder: Path, *names: str) -> Path | None:
    """What is in a folder under one of these names, in any case."""
    found = {path.name.lower(): path for path in folder.iterdir()} if folder.is_dir() else {}
    return next((found[name] for name in names if name in found), None)


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob('*') if path.suffix.lower() in IMAGES and path.is_file())


def _voc(root: Path) -> tuple[dict[str, Split], list[str]] | None:
    splits: dict[str, Split] = {}
    for split, names in SPLITS.items():
        folder = _child(root, *names)
        if folder is not None and any(folder.rglob('*.xml')):
            splits[split] = _with_xml(folder)
    if splits:
        return splits, _listed(root)
    for pattern in ('*', '*/*', '*/*/*'):
        for xml in sorted(path for path in root.glob(pattern) if path.name.lower() in XML_FOLDERS):
            if any(xml.rglob('*.xml')):
                kit = xml.parent
                return _voc_kit(kit, xml) or {'train': _with_xml(kit)}, _listed(kit)
    if any(root.glob('*.xml')):
        return {'train': _with_xml(root)}, _listed(root)
    return None


def _with_xml(folder: Path) -> Split:
    """The images below a folder that have an XML file beside them, or of their name in another folder."""
    files = {path.stem: path for path in folder.rglob('*.xml')}
    own = {}
    for path in _images(folder):
        beside = path.with_suffix('.xml')
        if beside.is_file() or path.stem in files:
            own[path] = beside if beside.is_file() else files[path.stem]
    return list(own), lambda image, size: _voc_objects(own[image], image, size)


def _voc_kit(kit: Path, xml: Path) -> dict[str, Split]:
    """The devkit's layout, or folders of the splits below ``Annotations``."""
    images = _child(kit, 'jpegimages', 'images', 'imgs') or kit
    known = {path.stem: path for path in _images(images)}
    sets = _child(_child(kit, 'imagesets') or kit, 'main') or _child(kit, 'imagesets')
    splits: dict[str, Split] = {}
    for split, names in SPLITS.items():
        listed = _child(sets, *(f'{name}.txt' for name in names)) if sets else None
        folder = _child(xml, *names)
        if listed is not None:
            stems = [line.split()[0] for line in listed.read_text(encoding='utf-8-sig').splitlines() if line.strip()]
        elif folder is not None:
            stems = sorted(path.stem for path in folder.rglob('*.xml'))
        else:
            continue
        files = {path.stem: path for path in (folder or xml).rglob('*.xml')}
        stems = [Path(stem).name for stem in stems]
        for stem in stems:
            for found, what, where in ((known, 'image', images), (files, 'annotation', xml)):
                if stem not in found and Path(stem).stem not in found:
                    raise InputError(f'{listed or folder}: {what} {stem} is not in {where}')
        paths = [known.get(stem) or known[Path(stem).stem] for stem in stems]

        def objects(image: Path, size: tuple[int, int], files: dict[str, Path] = files) -> Objects:
            return _voc_objects(files[image.stem], image, size)

        splits[split] = (paths, objects)
    return splits


def _voc_objects(file: Path, image: Path, size: tuple[int, int]) -> Objects:
    try:
        content = file.read_bytes()
        if b'<!DOCTYPE' in content or b'<!ENTITY' in content:  # what an entity stands for can be of any size
            raise InputError(f'annotation file {file}: defines a document type, which no annotation needs')
        declared = re.match(rb'\s*<\?xml[^>]*encoding=["\']([\w.-]+)["\'][^>]*\?>', content)
        if declared:  # expat knows no encoding of several bytes but UTF-8 and UTF-16
            text = content[declared.end() :].decode(declared[1].decode('ascii'))
        tree = ElementTree.fromstring(text if declared else content)  # nosec B314
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f'annotation file {file}: not XML ({error})') from error
    database = tree.findtext('source/database') or ''
    devkit = 'VOC' in database and 'Database' in database
    supervision = database == 'roboflow.ai' and tree.findtext('folder') == 'VOC'
    first = 1 if devkit or supervision else 0  # these count pixels from 1
    listed = [_float(tree.findtext(f'size/{key}')) or 0 for key in ('width', 'height')]
    stored, turn = image_size(image) or (size, 1)
    turned = turn >= 5 and stored != size and listed == [*stored]  # the boxes are those of the image before EXIF
    scale = [1.0, 1.0]
    for axis, side in enumerate(listed):
        if side > 0 and side != size[axis] and side != size[1 - axis]:
            scale[axis] = size[axis] / side
    found: Objects = []
    for number, node in enumerate(tree.findall('object')):
        name = (node.findtext('name') or '').strip()
        box = node.find('bndbox')
        given = [_float(box.findtext(key)) if box is not None else None for key in CORNERS]
        corners = [corner for corner in given if corner is not None]
        if not name or len(corners) < len(given):
            raise InputError(
                f'annotation file {file}: object {number} ({name or "no name"}): needs name and bndbox with '
                f'{", ".join(CORNERS)}'
            )
        x1, y1, x2, y2 = (c * scale[i % 2] for i, c in enumerate(corners))
        (x1, x2), (y1, y2) = sorted((x1, x2)), sorted((y1, y2))  # of any two corners
        x1, y1 = x1 - first, y1 - first
        if turned:
            (x1, y1), (x2, y2) = TURNS[turn](x1, y1, *stored), TURNS[turn](x2, y2, *stored)
            (x1, x2), (y1, y2) = sorted((x1, x2)), sorted((y1, y2))
        ignored = (node.findtext('difficult') or '0').strip() not in ('0', '')
        found.append((name, [x1, y1, x2 - x1, y2 - y1], None, ignored))
    return found


def _float(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _listed(root: Path) -> list[str]:
    """Class names in the order of their labels, where a file lists them."""
    file = _child(root, 'obj.names', 'classes.txt', 'predefined_classes.txt', 'labels.txt')
    if file is None or not file.is_file():
        return []
    names = [line.strip() for line in file.read_text(encoding='utf-8-sig').splitlines()]
    return [name for name in names if name]


def _yolo(root: Path) -> tuple[dict[str, Split], list[str]] | None:
    names: list[str] = []
    for file in sorted([*root.glob('*.yaml'), *root.glob('*.yml')]):
        settings = _settings(file)
        if settings is not None and ('train' in settings or 'val' in settings):
            return _yolo_splits(root, file, settings)
        names = names or (_yolo_names(file, settings) if settings else [])
    names = names or _listed(root)
    if not names:
        return None
    splits: dict[str, Split] = {}
    for split, words in SPLITS.items():
        listed = _child(root, *(f'{word}.txt' for word in words))
        folder = _child(_child(root, 'images') or root, *words) or _child(
            root, *words, *(f'obj_{w}_data' for w in words)
        )
        if listed is not None:
            splits[split] = (_lines(root, listed), _reader(names))
        elif folder is not None:
            splits[split] = (_images(folder), _reader(names))
    if not splits:
        splits['train'] = (_images(_child(root, 'images') or root), _reader(names))
    if not any(_label_file(path).is_file() for paths, _ in splits.values() for path in paths):
        return None
    return splits, names


FOREIGN = {  # keys of a tool's own JSON, and how it gives COCO's
    ('shapes', 'imagePath'): "labelme's own format: labelme2coco makes COCO files of it",
    ('data', 'annotations'): "Label Studio's own format: export as COCO",
    ('_via_img_metadata',): "the VGG annotator's project: export annotations as COCO",
    ('filename', 'regions'): "the VGG annotator's own format: export annotations as COCO",
    ('image', 'annotations'): "Create ML's format: export as COCO",
}


def foreign(root: Path) -> str:
    """What the first annotation file of another format is, as the end of a message; nothing where none is known."""
    for file in sorted([*root.glob('*.json'), *root.glob('*/*.json')])[:20]:
        try:
            content = json.loads(file.read_text(encoding='utf-8-sig'))
        except (OSError, ValueError, RecursionError):
            continue
        inner = content if isinstance(content, list) else list(content.values()) if isinstance(content, dict) else []
        for entry in (content, inner[0] if inner else None):
            for keys, what in FOREIGN.items():
                if isinstance(entry, dict) and set(keys) <= set(entry):
                    return f'; {file.relative_to(root)} is {what}'
    table = next(iter(sorted(root.glob('*_annotations.csv'))), None)
    return f'; {table.name}: tables are not read, export as COCO' if table else ''


def _settings(file: Path) -> dict | None:
    try:
        text = file.read_text(encoding='utf-8-sig')
        found = yaml.safe_load(text)
        if not isinstance(found, dict) or 'names' not in found:
            return None
        # as they are written, for a class may be called `no`; this loader makes texts alone
        return found | {'names': yaml.load(text, yaml.BaseLoader)['names']}  # nosec B506
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f'{file}: not YAML ({" ".join(str(error).split())[:120]})') from error


def _yolo_names(file: Path, settings: dict) -> list[str]:
    names = settings['names']
    if isinstance(names, dict):
        numbers = [str(number) for number in range(len(names))]
        if sorted(names) != sorted(numbers):
            raise InputError(f'{file}: names must be numbered from 0 without gaps, got {list(names)[:10]}')
        names = [names[number] for number in numbers]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise InputError(f'{file}: names must be a list of class names, got {names!r}')
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f'{file}: names occur twice: {repair.few(twice)}')
    if settings.get('nc') not in (None, len(names)):
        raise InputError(f'{file}: nc is {settings["nc"]}, but there are {len(names)} names')
    return names


def _yolo_splits(root: Path, file: Path, settings: dict) -> tuple[dict[str, Split], list[str]]:
    names = _yolo_names(file, settings)
    splits: dict[str, Split] = {}
    for split, words in SPLITS.items():
        given = next((settings[word] for word in words if settings.get(word)), None)
        if given is not None:
            places = given if isinstance(given, list) else [given]
            images = [image for place in places for image in _place(root, file, settings.get('path'), str(place))]
            splits[split] = (images, _reader(names))
    return splits, names


def _place(root: Path, file: Path, base: object, place: str) -> list[Path]:
    """The images of a folder or list; exporters write paths of their machine, or one level too high."""
    place = place.replace('\\', '/')
    parts = [part for part in Path(place).parts if part not in ('..', '.', '/')]
    tried = [Path(str(base)) / place if base else root / place, root / str(base or '') / place, root / place]
    tried += [root.joinpath(*parts[start:]) for start in range(len(parts))]
    for path in tried:
        if path.is_dir():
            return _images(path)
        if path.is_file() and path.suffix == '.txt':
            return _lines(root, path)
    raise InputError(f'{file}: {place}: no such folder below {root}')


def _lines(root: Path, file: Path) -> list[Path]:
    """The images that a text file lists."""
    found = []
    for number, line in enumerate(file.read_text(encoding='utf-8-sig').splitlines(), 1):
        if name := line.strip().replace('\\', '/'):
            parts = Path(name).parts
            tried = [
                root / name,
                file.parent / name,
                *(root.joinpath(*parts[start:]) for start in range(1, len(parts))),
            ]
            path = next((path for path in tried if path.is_file()), None)
            if path is None:
                raise InputError(f'{file}: line {number}: image {name} is not below {root}')
            found.append(path)
    return found


def _label_file(image: Path) -> Path:
    """``…/images/a/b.jpg`` -> ``…/labels/a/b.txt``, else beside the image."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index].lower() == 'images':
            other = Path(*parts[:index], 'Labels' if parts[index][0].isupper() else 'labels', *parts[index + 1 :])
            return other.with_suffix('.txt')
    return image.with_suffix('.txt')


def _reader(names: Sequence[str]) -> Callable[[Path, tuple[int, int]], Objects]:
    return lambda image, size: list(_yolo_objects(_label_file(image), size, names))


def _yolo_objects(file: Path, size: tuple[int, int], names: Sequence[str]) -> Iterator:
    if not file.is_file():  # an image of background
        return
    try:
        lines = file.read_text(encoding='utf-8-sig').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f'label file {file}: cannot be read ({error})') from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        values = [value for word in words if (value := _float(word)) is not None]
        where = f'label file {file}: line {number}'
        if len(values) < len(words) or (len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0)):
            raise InputError(f'{where}: expected class, x, y, w, h or class and a polygon, got {line.strip()[:80]!r}')
        label, *rest = values
        if label != int(label) or not 0 <= label < len(names):
            raise InputError(f'{where}: class {words[0]}, the classes are 0 to {len(names) - 1}')
        if max(map(abs, rest)) > TOLERANCE:
            raise InputError(f'{where}: coordinates must be shares of the image, 0 to 1, got {line.strip()[:80]!r}')
        width, height = size
        if len(rest) == 4:
            x, y, w, h = rest
            box = [(x - w / 2) * width, (y - h / 2) * height, w * width, h * height]
            yield names[int(label)], box, None, False
        else:
            polygon = [value * size[index % 2] for index, value in enumerate(rest)]
            xs, ys = polygon[::2], polygon[1::2]
            box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
            yield names[int(label)], box, polygon, False
