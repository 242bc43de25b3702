"""Your own segmentation folder: images and masks, whatever their layout and encoding, as class indices."""

import copy
import hashlib
import io
import json
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from PIL import Image

from mmlight.data.coco_folder import LOADERS, cache_folder, iter_class_counts, iter_datasets, say_once
from mmlight.data.repair import HOLD_OUT, IMAGES, SIZE_TOLERANCE, SPLITS, few, shown_size
from mmlight.errors import InputError
from mmlight.files import put
from mmlight.images import read

MASKS = ('.png', '.bmp', '.tif', '.tiff', '.gif')
IMAGE_FOLDERS = ('images', 'image', 'imgs', 'img', 'leftimg8bit', 'jpegimages')
MASK_FOLDERS = ('masks', 'mask', 'labels', 'label', 'annotations', 'gtfine', 'segmentationclass', 'seg')
SUFFIXES = ('', '_mask', '_masks', '_label', '_labels', '_gt', '_seg', '_l', '_gtfine_labeltrainids')
"""What a mask's name may have behind its image's."""
CLASS_FILES = ('classes.txt', 'labels.txt', 'labelmap.txt', 'class_dict.csv', '_classes.csv')
LOSSY = ('.jpg', '.jpeg', '.jfif', '.webp')
IGNORED = 255
SPARSE = 20  # greatest value of masks that may lack any of the values below it

Colour = tuple[int, ...]


@dataclass(frozen=True)
class MaskFolder:
    """What :func:`find_masks` found.

    Attributes:
        splits: Split name -> pairs of image and mask.
        names: Class names in the order of their indices.
        values: Value or colour in the masks -> class index, where they are not the same.
        remarks: What a user may want to know.
    """

    root: Path
    splits: dict[str, list[tuple[Path, Path]]]
    names: list[str]
    values: dict[Colour, int] | None
    remarks: list[str]


def find_masks(root: Path, mend: bool = False) -> MaskFolder | None:
    """The splits, classes and encoding of a folder of masks; None where there are no masks.

    Known are ``images/`` and ``masks/`` (or ``labels``, ``annotations``, …) with folders of the splits above or below
    them or none, Cityscapes' ``leftImg8bit/`` and ``gtFine/``, Pascal VOC's ``SegmentationClass/``, CamVid's
    ``train/`` and ``trainannot/``, ADE20K's ``annotations/training/``; where these hold the public classes, their names
    are taken. A mask has its image's name, with one of :data:`SUFFIXES`.

    With ``mend``, pairs that cannot be used are left out and counted among the remarks; sizes may differ in scale.

    Raises:
        InputError: images without masks, masks that are no class indices and whose colours are too many or unnamed.
    """
    left_out: dict[str, list[str]] | None = {} if mend else None
    splits = {split: pairs for split, words in SPLITS.items() if (pairs := _split(root, words, left_out))}
    remarks = []
    if not splits:
        pairs = _pairs(_below(root, IMAGE_FOLDERS), _mask_folder(root), left_out)
        listed = _below(root, ('imagesets',))
        listed = listed and _below(listed, ('segmentation',))
        if not pairs:
            _refuse_jpeg(root)
            return None
        splits = _by_lists(pairs, listed) if listed is not None else {}
        if not splits:  # CVAT lists all images in default.txt
            splits = {'train': [pair for i, pair in enumerate(pairs) if i % HOLD_OUT], 'val': pairs[::HOLD_OUT]}
            remarks.append(f'{root}: has no splits; every fifth of {len(pairs)} images is for validation')
    if left_out is not None:
        splits = {split: _usable(pairs, left_out) for split, pairs in splits.items()}
        remarks += [f'{root}: {len(some)} images left out, {why}: {few(some)}' for why, some in left_out.items()]
    for split in ('train', 'val'):
        if not splits.get(split):
            raise InputError(f'data folder {root}: masks, but none of {split}; looked for {"/, ".join(SPLITS[split])}/')
    names, colours = _classes(root)
    masks = [mask for pairs in splits.values() for _, mask in pairs]
    values = _values(masks)
    by_order = bool(names) and not colours and set(values) != {(0,), (IGNORED,)}
    known = None if names else _public(masks[0].relative_to(root), values)
    names, mapping = known or _encoding(root, values, names, colours)
    if by_order and mapping:
        order = few([f'{", ".join(map(str, value))} is {names[index]}' for value, index in mapping.items()])
        remarks.append(f'{root}: values of the masks in ascending order: {order}')
    return MaskFolder(root, splits, names, mapping, remarks)


def _refuse_jpeg(root: Path) -> None:
    """Raise where what would be masks is JPEG, which changes values."""
    folder = _below(root, MASK_FOLDERS)
    found = [] if folder is None else [path for path in sorted(folder.rglob('*')) if path.suffix.lower() in LOSSY]
    if found and _below(root, IMAGE_FOLDERS):
        raise InputError(f'label file {found[0]}: JPEG changes the values of masks; save them as PNG')


def _public(mask: Path, values: dict[Colour, Path]) -> tuple[list[str], dict[Colour, int] | None] | None:
    """Classes of a public data set whose layout and values these are."""
    from mmseg.datasets import ADE20KDataset, CityscapesDataset, PascalVOCDataset

    from mmlight.data.camvid import CamVidDataset

    folders = [part.lower() for part in mask.parts[:-1]]
    names: list[str]
    top = max((value[0] for value in values if len(value) == 1 and value[0] != IGNORED), default=-1)
    if any(len(value) == 3 for value in values):
        return None
    if 'gtfine' in folders and mask.stem.lower().endswith('_labeltrainids') and top < 19:
        return list(CityscapesDataset.METAINFO['classes']), None
    if 'segmentationclass' in folders and top < 21:
        return list(PascalVOCDataset.METAINFO['classes']), None
    if folders[0].endswith('annot') and top <= 11:  # the SegNet copy, whose void is 11
        names = list(map(str, CamVidDataset.METAINFO['classes']))
        return names, {(index,): index for index in range(len(names))}
    if 'annotations' in folders and {'training', 'validation'} & set(folders) and 100 <= top <= 150:
        names = list(ADE20KDataset.METAINFO['classes'])  # 0 is everything else
        return names, {(index + 1,): index for index in range(len(names))}
    return None


def _mask_folder(root: Path) -> Path | None:
    """The first of :data:`MASK_FOLDERS` that holds pictures."""
    for name in MASK_FOLDERS:
        folder = _below(root, (name,))
        if folder is not None and folder.is_dir() and any(path.suffix.lower() in MASKS for path in folder.rglob('*')):
            return folder
    return None


def _below(folder: Path, names: Sequence[str]) -> Path | None:
    found = {path.name.lower(): path for path in folder.iterdir()} if folder.is_dir() else {}
    return next((found[name] for name in names if name in found), None)


def _usable(pairs: list[tuple[Path, Path]], left_out: dict[str, list[str]]) -> list[tuple[Path, Path]]:
    """Pairs of an image and a mask that can be read and are of one shape."""
    kept = []
    for image, mask in pairs:
        size = shown_size(image)
        try:
            read(str(image))
            height, width = read_mask(mask).shape[:2]
        except InputError:
            size = None
        if size is None:
            left_out.setdefault('damaged, or their masks', []).append(image.name)
        elif abs(size[0] / width / (size[1] / height) - 1) > SIZE_TOLERANCE:
            left_out.setdefault('whose masks have another shape', []).append(image.name)
        else:
            kept.append((image, mask))
    return kept


def _split(root: Path, words: Sequence[str], left_out: dict[str, list[str]] | None) -> list[tuple[Path, Path]]:
    images, masks = _below(root, IMAGE_FOLDERS), _mask_folder(root)
    if images and masks and _below(images, words) and _below(masks, words):
        return _pairs(_below(images, words), _below(masks, words), left_out)
    folder = _below(root, words)
    if folder is None:
        return []
    beside = _below(root, [f'{word}{end}' for word in words for end in ('annot', '_labels', '_masks', '_mask')])
    return _pairs(
        folder if beside else _below(folder, IMAGE_FOLDERS) or folder, beside or _mask_folder(folder), left_out
    )


def _by_lists(pairs: list[tuple[Path, Path]], folder: Path) -> dict[str, list[tuple[Path, Path]]]:
    known = {image.stem: (image, mask) for image, mask in pairs}
    splits = {}
    for split, words in SPLITS.items():
        file = _below(folder, [f'{word}.txt' for word in words])
        if file is not None:
            stems = file.read_text(encoding='utf-8').split()
            missing = [stem for stem in stems if stem not in known]
            if missing and split != 'test':
                raise InputError(f'{file}: {len(missing)} images have no mask, the first {missing[0]}')
            splits[split] = [known[stem] for stem in stems if stem in known]
    return splits


def _pairs(images: Path | None, masks: Path | None, left_out: dict[str, list[str]] | None) -> list[tuple[Path, Path]]:
    """Each image with its mask, both sorted by path below their folders."""
    if images is None or masks is None:
        return []
    known: dict[tuple[Path, str], Path] = {}
    for path in sorted(masks.rglob('*')):
        if path.suffix.lower() in MASKS and path.is_file():
            known.setdefault((path.relative_to(masks).parent, path.stem.lower()), path)
    found, bare = [], []
    for path in sorted(images.rglob('*')):
        if path.suffix.lower() not in IMAGES or not path.is_file() or masks in path.parents:
            continue
        place, stem = path.relative_to(images).parent, path.stem.lower().removesuffix('_leftimg8bit')
        stems = (path.name.lower(), *(stem + end for end in SUFFIXES))  # a.jpg.png, a.png, a_mask.png …
        mask = next((known[place, one] for one in stems if (place, one) in known), None)
        found.append((path, mask)) if mask else bare.append(path)
    if found and bare and left_out is not None:
        left_out.setdefault('without masks', []).extend(path.name for path in bare)
    elif found and bare:
        raise InputError(f'{images}: {len(bare)} of {len(bare) + len(found)} images have no mask in {masks}, the first '
                         f'{bare[0].name}')  # fmt: skip
    return found


def _classes(root: Path) -> tuple[list[str], dict[Colour, int]]:
    """Names, and colours where the file has them: lines of a name, or of a name and red, green and blue."""
    file = _below(root, CLASS_FILES)
    if file is None:
        return [], {}
    names: list[str] = []
    colours: dict[Colour, int] = {}
    for number, line in enumerate(file.read_text(encoding='utf-8-sig').splitlines(), 1):
        line = line.strip()
        if file.suffix == '.txt' and not re.fullmatch('#[0-9a-f]{6}', line):  # a comment, no class named by its colour
            line = line.split('#')[0].strip()
        parts = line.replace(':', ',', 1).split(':')[0]
        words = [word for word in parts.replace(',', ' ').replace(';', ' ').split() if word]
        if not words or words[0].lower() in ('name', 'pixel', 'class'):
            continue
        numbers = [int(word) for word in words[-3:] if word.isdigit() and int(word) < 256]
        if len(words) >= 4 and len(numbers) == 3:
            colours[tuple(numbers)] = len(names)
            words = words[:-3]
        name = ' '.join(words[1:] if file.name.lower() == '_classes.csv' and words[0].isdigit() else words)
        if name in names:
            raise InputError(f'{file}: line {number}: class {name!r} occurs twice')
        names.append(name)
    return names, colours


def read_mask(path: Path) -> np.ndarray:
    """A mask as (H, W) of values, or (H, W, 3) of colours; three equal channels are one.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with Image.open(path) as image:
            mode = image.mode
            plain = mode in ('P', 'L', 'I', 'I;16')
            array = np.asarray(image if plain else image.convert('L' if mode == '1' else 'RGB'))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f'label file {path}: cannot be read ({error})') from error
    if array.ndim == 3 and (array == array[..., :1]).all():
        return array[..., 0]
    return array


def _values(masks: Sequence[Path]) -> dict[Colour, Path]:
    """Each value or colour in the masks, with the first mask that has it."""
    found: dict[Colour, Path] = {}
    for path in masks:
        array = read_mask(path)
        flat = array.reshape(-1, array.shape[-1] if array.ndim == 3 else 1).astype(np.int64)
        codes = np.unique(flat @ (256 ** np.arange(flat.shape[1])[::-1]))
        for code in codes.tolist():
            value = (code,) if array.ndim == 2 else (code >> 16, code >> 8 & 255, code & 255)
            found.setdefault(value, path)
        if len(found) > 256 + IGNORED:
            raise InputError(f'label file {path}: more than {len(found) - 1} values so far: a photo, or saved as JPEG?')
    return found


def _encoding(
    root: Path, values: dict[Colour, Path], names: list[str], colours: dict[Colour, int]
) -> tuple[list[str], dict[Colour, int] | None]:
    """Names of all classes, and the class of each value, None where it is the value itself."""
    if any(len(value) == 3 for value in values):
        if len({len(value) for value in values}) > 1:  # a mask of greys alone among coloured ones
            values = {value if len(value) == 3 else value * 3: path for value, path in values.items()}
        if colours:
            unknown = sorted(set(values) - set(colours) - {(IGNORED,) * 3})
            if unknown:
                raise InputError(f'label file {values[unknown[0]]}: colour {unknown[0]} is of no class in {root}')
            return names, colours
        if len(values) > 64:
            raise InputError(f'data folder {root}: masks of {len(values)} colours; write classes.txt with lines '
                             '"name red green blue"')  # fmt: skip
        found = sorted(values)
        if names and len(names) != len(found):
            raise InputError(
                f'data folder {root}: {len(found)} colours in the masks, {len(names)} names in its class file'
            )
        names = names or ['#{:02x}{:02x}{:02x}'.format(*value) for value in found]
        return names, {value: index for index, value in enumerate(found)}
    return _of_numbers(root, values, names)


def _of_numbers(root: Path, values: dict[Colour, Path], names: list[str]) -> tuple[list[str], dict[Colour, int] | None]:
    numbers = sorted(value for (value,) in values)
    if numbers in ([0, IGNORED], [IGNORED]) and len(names) < 3:  # black and white
        names = names if len(names) == 2 else ['background', *(names or ['foreground'])]
        return names, {(0,): 0, (IGNORED,): 1}
    classes = [value for value in numbers if value != IGNORED]
    if len(numbers) == len(names) and numbers[-1] >= len(names) and numbers[-1] <= IGNORED:  # greys, darkest first
        return names, {(value,): index for index, value in enumerate(numbers)}
    if names and classes and classes[-1] >= len(names):
        path = values[classes[-1],]
        raise InputError(f'label file {path}: value {classes[-1]} is beyond the {len(names)} classes of {root}')
    if classes and classes[-1] > IGNORED:
        raise InputError(f'label file {values[classes[-1],]}: value {classes[-1]}; class indices are 0 to 254')
    if not names and classes and classes[-1] > SPARSE and len(classes) * 4 < classes[-1]:
        raise InputError(
            f'label file {values[classes[-1],]}: value {classes[-1]}, but the masks hold {few(numbers)} alone: class '
            'indices, or greys? Write classes.txt, a name for each in this order'
        )
    if len(classes) < 2 and len(names) < 2:
        raise InputError(f'data folder {root}: the masks hold {numbers} alone: nothing to tell apart')
    return names or [f'class {number}' for number in range(classes[-1] + 1)], None


def _indexed(array: np.ndarray, mapping: dict[Colour, int]) -> np.ndarray:
    """Class indices of a mask; what no class has is ignored."""
    found = np.full(array.shape[:2], IGNORED, np.uint8)
    for value, index in mapping.items():
        same = (array == value[0]) if array.ndim == 2 else (array == value).all(-1)
        found[same] = index
    return found


def _labels(mask: Path, mapping: dict[Colour, int] | None) -> np.ndarray:
    array = read_mask(mask)
    return array.astype(np.uint8) if mapping is None else _indexed(array, mapping)


def _is_plain(mask: Path) -> bool:
    """Whether mmseg reads one channel of bytes; grey saved as RGB, or in 16 bits, is none."""
    with Image.open(mask) as image:
        return image.mode in ('L', 'P')


def write_pairs(found: MaskFolder, folder: Path) -> dict[str, Path]:
    """The JSON files of ``mmlight.MaskPairs``, split name -> file, in ``folder``, beside rewritten masks."""
    files = {}
    for split, pairs in found.splits.items():
        written = []
        for image, mask in pairs:
            if found.values is not None or not _is_plain(mask):
                made_of = f'{mask.absolute()} {mask.stat().st_mtime_ns} {found.values}'
                digest = hashlib.sha256(made_of.encode()).hexdigest()
                target = folder / 'masks' / split / f'{mask.stem}-{digest[:8]}.png'
                if not target.is_file():
                    content = io.BytesIO()
                    Image.fromarray(_labels(mask, found.values)).save(content, 'PNG')
                    put(content.getbuffer(), target)
                mask = target
            written.append([str(image.absolute()), str(mask.absolute())])
        text = json.dumps(dict(classes=found.names, pairs=written), ensure_ascii=False)
        files[split] = put(text, folder / f'{split}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json')
    return files


def use_mask_folder(cfg: Config, folder: str | Path, written_to: str | Path | None = None) -> Config:
    """Points an mmseg config at a folder of masks, in place: data loaders, classes, ``num_classes``, label checks.

    Raises:
        InputError: as :func:`find_masks`; the folder holds no masks; the config has no such loader.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f'data folder {root}: {"is a file" if root.exists() else "does not exist"}')
    found = find_masks(root)
    if found is None:
        raise InputError(
            f'data folder {root}: no masks; looked for images/ and {"/, ".join(MASK_FOLDERS)}/, with or without '
            'folders train/ and val/'
        )
    _log(found.remarks)
    files = write_pairs(found, Path(written_to or cfg.get('work_dir') or cache_folder()) / 'annotations')
    files.setdefault('test', files['val'])
    count = len(found.names)
    for loader, split in zip(LOADERS, ('train', 'val', 'test'), strict=True):
        if not cfg.get(loader):
            continue
        cfg[loader] = copy.deepcopy(cfg[loader])  # configs often share one object between val and test
        for _, dataset in iter_datasets(cfg[loader].get('dataset')):
            for key in ('data_root', 'data_prefix', 'img_suffix', 'seg_map_suffix', 'split'):
                dataset.pop(key, None)
            dataset.type = 'mmlight.MaskPairs'
            dataset.ann_file = str(files[split].absolute())
            dataset.metainfo = ConfigDict(classes=tuple(found.names))
            dataset.reduce_zero_label = False
            for step in dataset.get('pipeline') or []:
                if step.get('type') == 'mmlight.CheckLabels':
                    step.num_classes = count
    for _, head in iter_class_counts(cfg.model):
        binary = count == 2 and head.get('out_channels') == 1
        head.num_classes = count
        if 'out_channels' in head and not binary:
            head.pop('out_channels')
    say_once(cfg, folder, found.names)
    return cfg


def _log(remarks: Iterable[str]) -> None:
    for remark in remarks:
        print_log(remark, 'current', logging.WARNING)


def iter_pictures(found: MaskFolder, split: str) -> Iterator[tuple[Path, np.ndarray]]:
    """(image, class indices of its mask) of one split."""
    for image, mask in found.splits[split]:
        yield image, _labels(mask, found.values)
