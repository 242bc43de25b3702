"""What a folder of one's own data holds: kind, counts, sizes, problems, a contact sheet, and a corrected copy."""

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from mmlight.data.check_coco import check_coco, few
from mmlight.data.coco_folder import CocoSplit, find_splits, has_coco, read_coco, repaired
from mmlight.data.masks import MaskFolder, find_masks, iter_pictures
from mmlight.data.repair import image_size, shown_size
from mmlight.errors import InputError
from mmlight.images import read

TILE, COLUMNS, ROWS = 240, 4, 3
LINE, GROUND = 18, (32, 32, 32)
"""Side of a picture on the contact sheet in pixels, pictures side by side, and rows; height of a line of names."""


@dataclass
class SplitSurvey:
    """One split.

    Attributes:
        images: Their number.
        objects: Class name -> boxes, or images with the class in their masks.
        sizes: (width, height) -> images.
        problems: A line each: what was repaired, or is left out in training.
    """

    images: int
    objects: Counter
    sizes: Counter
    problems: list[str] = field(default_factory=list)


@dataclass
class Survey:
    """A data set.

    Attributes:
        kind: ``'detection'`` or ``'segmentation'``.
        splits: Split name -> what it holds.
    """

    folder: Path
    kind: str
    splits: dict[str, SplitSurvey]

    def __str__(self) -> str:
        classes = list(dict.fromkeys(name for split in self.splits.values() for name in split.objects))
        unit = 'boxes' if self.kind == 'detection' else 'images with it'
        width = max([len('class'), *map(len, classes)])
        lines = [f'{self.folder}: {self.kind}, {len(classes)} classes']
        for name, split in self.splits.items():
            sides = ', '.join(f'{w} x {h} ({count})' for (w, h), count in split.sizes.most_common(3))
            more = f' and {len(split.sizes) - 3} other sizes' if len(split.sizes) > 3 else ''
            lines.append(f'{name}: {split.images} images of {sides}{more}')
        lines.append('  '.join(['class'.ljust(width), *(f'{name} {unit}' for name in self.splits)]))
        for name in classes:
            counts = (str(split.objects[name]).rjust(len(f'{key} {unit}')) for key, split in self.splits.items())
            lines.append('  '.join([name.ljust(width), *counts]))
        problems = [problem for split in self.splits.values() for problem in split.problems]
        lines += [
            'nothing to mend' if not problems else f'{len(problems)} remarks:',
            *(f'  {line}' for line in problems),
        ]
        return '\n'.join(lines)


def survey(
    folder: str | os.PathLike, sheet: str | os.PathLike | None = None, fix: str | os.PathLike | None = None
) -> Survey:
    """Look at a folder of data as ``mmlight train --data`` would.

    Args:
        folder: COCO, Pascal VOC, YOLO, or masks.
        sheet: PNG file for a contact sheet of the training split, objects drawn.
        fix: New folder for a corrected copy: COCO files with their images; masks as class indices.

    Returns:
        The :class:`Survey`.

    Raises:
        InputError: for a folder that holds no data set, and what no copy can mend.
    """
    root = Path(folder)
    if fix is not None and Path(fix).exists() and any(Path(fix).iterdir()):
        raise InputError(f'--fix {fix}: exists; name a new folder')
    if fix is not None and Path(fix).resolve().is_relative_to(root.resolve()):
        raise InputError(f'--fix {fix}: lies in the data folder {root}, which would hold everything twice')
    masks = None if not root.is_dir() or has_coco(root) else find_masks(root, fix is not None)
    with tempfile.TemporaryDirectory() as scratch, _whole(fix) as copy:
        if masks is not None:
            return _survey_masks(masks, sheet, copy)
        splits, names_of_files = _repaired_splits(root, Path(scratch), copy is not None)
        found = {}
        for name, split in splits.items():
            data = read_coco(split.ann_file)
            names = {entry['id']: str(entry['name']) for entry in data['categories']}
            counts = Counter(dict.fromkeys(names.values(), 0))
            counts.update(names[entry['category_id']] for entry in data['annotations'] if entry['category_id'] in names)
            sizes = Counter((entry['width'], entry['height']) for entry in data['images'])
            written = re.compile(rf'{re.escape(scratch)}/\S+\.json')
            known_as = names_of_files[name].replace('\\', r'\\')
            remarks = [written.sub(known_as, line) for line in check_coco(split.ann_file, split.img_dir, level='warn')]
            found[name] = SplitSurvey(len(data['images']), counts, sizes, remarks)
        if sheet is not None:
            _sheet([_drawn_boxes(path, marks) for path, marks in _first_images(splits['train'])], Path(sheet))
        if copy is not None:
            for name, remark in _copy(splits, copy):
                found[name].problems.append(remark)
        return Survey(root, 'detection', found)


@contextmanager
def _whole(fix: str | os.PathLike | None) -> Iterator[Path | None]:
    """A folder beside ``fix`` that gets its name in the end, so that half a copy never looks like a data set."""
    if fix is None:
        yield None
        return
    target = Path(fix).absolute()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f'.{target.name[:100]}-') as folder:
            made = Path(folder, 'copy')
            made.mkdir()
            yield made
            made.replace(target)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f'--fix {fix}: {error.filename}: {error.strerror or error}') from error


def _repaired_splits(root: Path, scratch: Path, mend: bool) -> tuple[dict[str, CocoSplit], dict[str, str]]:
    """The splits, and what the user knows their files as."""
    splits = find_splits(root, scratch, mend)
    train = repaired(splits['train'], scratch, mend=mend)
    order = [entry['name'] for entry in read_coco(train.ann_file)['categories']]
    names = {
        name: f'{root}, {name}' if split.ann_file.is_relative_to(scratch) else str(split.ann_file)
        for name, split in splits.items()
    }
    return {
        name: train if name == 'train' else repaired(split, scratch, order, mend) for name, split in splits.items()
    }, names


def _first_images(split: CocoSplit) -> list[tuple[Path, list[tuple[list[float], int, str]]]]:
    """Images that have objects, with (box, class number, name)."""
    data = read_coco(split.ann_file)
    numbers = {entry['id']: (index, str(entry['name'])) for index, entry in enumerate(data['categories'])}
    marks: dict[int, list] = {}
    for entry in data['annotations']:
        if entry['category_id'] in numbers:
            marks.setdefault(entry['image_id'], []).append((entry['bbox'], *numbers[entry['category_id']]))
    images = [entry for entry in data['images'] if entry['id'] in marks] or data['images']
    step = max(1, len(images) // (COLUMNS * ROWS))
    return [(split.img_dir / entry['file_name'], marks.get(entry['id'], [])) for entry in images[::step]]


def colour(number: int) -> tuple[int, int, int]:
    """Of a class; neighbours differ."""
    red, green, blue = (int(127 + 127 * np.cos(2.4 * number + shift)) for shift in (0, 2.1, 4.2))
    return red, green, blue


def _opened(path: Path) -> Image.Image | None:
    try:
        return ImageOps.exif_transpose(Image.open(path)).convert('RGB')
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _drawn_boxes(path: Path, marks: list[tuple[list[float], int, str]]) -> Image.Image | None:
    image = _opened(path)
    if image is None:
        return None
    scale = TILE / max(image.size)
    image = image.resize([max(1, round(side * scale)) for side in image.size])
    draw = ImageDraw.Draw(image)
    for (x, y, w, h), number, name in marks:
        draw.rectangle((x * scale, y * scale, (x + w) * scale, (y + h) * scale), outline=colour(number), width=2)
        _write(draw, (x * scale, y * scale), name, number)
    return image


def _write(draw: ImageDraw.ImageDraw, corner: tuple[float, float], name: str, number: int) -> float:
    """A class name on its colour; where it ends."""
    place = (corner[0] + 2, corner[1])
    left, top, right, bottom = draw.textbbox(place, name)
    draw.rectangle((left - 2, top - 1, right + 1, bottom + 1), fill=colour(number))
    draw.text(place, name, fill=(0, 0, 0) if sum(colour(number)) > 300 else (255, 255, 255))
    return right


def mosaic(files: Iterable[Path], path: Path) -> None:
    """Pictures of any size side by side in one, as many as a contact sheet holds; what cannot be read is left out."""
    pictures = [_opened(file) for file in islice(files, COLUMNS * ROWS)]
    _sheet([picture and ImageOps.contain(picture, (TILE, TILE)) for picture in pictures], path)


def _sheet(pictures: list[Image.Image | None], path: Path, names: Sequence[str] = ()) -> None:
    """Pictures side by side, and below them the names of colours."""
    tiles = [picture for picture in pictures if picture is not None][: COLUMNS * ROWS]
    rows = max(1, -(-len(tiles) // COLUMNS))
    legend = Image.new('RGB', (COLUMNS * TILE, LINE * (len(names) + 1)), GROUND)
    draw, across, down = ImageDraw.Draw(legend), 4.0, 4
    for number, name in enumerate(names):
        if across + draw.textlength(name) > legend.width - 8:
            across, down = 4.0, down + LINE
        across = _write(draw, (across, down), name, number) + 8
    sheet = Image.new('RGB', (legend.width, rows * TILE + (down + LINE if names else 0)), GROUND)
    sheet.paste(legend, (0, rows * TILE))
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % COLUMNS * TILE, number // COLUMNS * TILE))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path)
    except (OSError, ValueError) as error:
        raise InputError(f'--out {path}: cannot be written ({error})') from error


def _copy(splits: dict[str, CocoSplit], out: Path) -> Iterator[tuple[str, str]]:
    """COCO files and the images that they list, without what cannot be read; (split, what was left out)."""
    for name, split in splits.items():
        data = read_coco(split.ann_file)
        kept, unread = [], []
        for entry in data['images']:
            target = out / name / entry['file_name']
            if not target.resolve().is_relative_to(out.resolve()):
                raise InputError(f'{split.ann_file}: file_name {entry["file_name"]!r} leads out of the folder')
            if _is_image(split.img_dir / entry['file_name']):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(split.img_dir / entry['file_name'], target)
                kept.append(entry)
            else:
                unread.append(entry['file_name'])
        if unread:
            of = len(data['images'])
            why = 'missing, damaged or no images'
            yield name, f'{split.img_dir}: {len(unread)} of {of} images left out, {why}: {few(unread)}'
        sizes = {entry['id']: (entry['width'], entry['height']) for entry in kept}
        annotations = [clipped for entry in data['annotations'] if (clipped := _clipped(entry, sizes))]
        lost = sum(entry['image_id'] in sizes for entry in data['annotations']) - len(annotations)
        if lost:
            yield name, f'{split.img_dir}: {lost} boxes left out, which lie outside their image'
        if name == 'train' and not annotations:
            raise InputError(f'--fix: annotations of {split.img_dir}: none are left, no copy of that can train')
        info = data['info'] if isinstance(data.get('info'), dict) else {}
        data.update(images=kept, annotations=annotations, info={k: v for k, v in info.items() if k != 'repaired'})
        file = out / 'annotations' / f'instances_{name}.json'
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(data), encoding='utf-8')
        check_coco(file, out / name)  # what it says no copy can mend


def _is_image(path: Path) -> bool:
    try:
        return image_size(path) is not None and bool(read(str(path)))
    except InputError:
        return False


def _clipped(entry: dict, sizes: dict[int, tuple[float, float]]) -> dict | None:
    """An annotation with its box inside its image, None where nothing of it is."""
    x, y, w, h = entry['bbox']
    width, height = sizes.get(entry['image_id'], (0, 0))
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if not (right > left and bottom > top):
        return None
    return {**entry, 'bbox': [left, top, right - left, bottom - top]}


def _survey_masks(found: MaskFolder, sheet: str | os.PathLike | None, fix: Path | None) -> Survey:
    splits, tiles = {}, []
    for split, pairs in found.splits.items():
        counts, sizes = Counter(dict.fromkeys(found.names, 0)), Counter[tuple[int, int]]()
        for number, (image, mask) in enumerate(iter_pictures(found, split)):
            counts.update(found.names[index] for index in np.unique(mask) if index < len(found.names))
            sizes[mask.shape[1], mask.shape[0]] += 1
            size = shown_size(image)
            if fix is not None and size is not None and size != mask.shape[::-1]:  # of one shape, see find_masks
                mask = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
            if size is not None and size != mask.shape[::-1]:
                raise InputError(f'label file of {image}: {mask.shape[::-1]} pixels, its image has {size}')
            if sheet is not None and split == 'train' and number % max(1, len(pairs) // (COLUMNS * ROWS)) == 0:
                tiles.append(_drawn_mask(image, mask))
            if fix is not None:
                _copy_mask(image, mask, fix, split)
        splits[split] = SplitSurvey(len(pairs), counts, sizes, found.remarks if split == 'train' else [])
    if sheet is not None:
        _sheet(tiles, Path(sheet), found.names)
    if fix is not None:
        (fix / 'classes.txt').write_text(''.join(f'{name}\n' for name in found.names), encoding='utf-8')
    return Survey(found.root, 'segmentation', splits)


def _drawn_mask(path: Path, mask: np.ndarray) -> Image.Image | None:
    image = _opened(path)
    if image is None:
        return None
    palette = np.array([colour(number) for number in range(255)] + [(0, 0, 0)], np.uint8)
    drawn = Image.blend(image, Image.fromarray(palette[mask]), 0.5)
    drawn.thumbnail((TILE, TILE))
    return drawn


def _copy_mask(image: Path, mask: np.ndarray, out: Path, split: str) -> None:
    for folder in ('images', 'masks'):
        (out / folder / split).mkdir(parents=True, exist_ok=True)
    stem = re.sub('_leftImg8bit$', '', image.stem, flags=re.IGNORECASE)  # masks of Cityscapes are named without it
    name, number = stem, 0
    while (label := out / 'masks' / split / f'{name}.png').exists():  # of one name in another folder, or format
        number += 1
        name = f'{image.parent.name}_{stem}' + f'_{number}' * (number > 1)
    shutil.copyfile(image, out / 'images' / split / f'{name}{image.suffix}')
    Image.fromarray(mask.astype(np.uint8)).save(label)
