"""Your own COCO folder: find its parts and point a detection config at it."""

import copy
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import NoneType

from mmengine.config import Config, ConfigDict

from mmlight.data.mend import Mend
from mmlight.data.other_formats import as_coco, foreign, read_other
from mmlight.data.repair import CAN_MEND, HOLD_OUT, SPLITS, Files, Repair, few, kept_categories, repaired_file
from mmlight.errors import InputError

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
LOOKED_FOR = 20  # images whose folder is looked for: the first may be missing


@dataclass(frozen=True)
class CocoSplit:
    """One split: annotation file and the folder that its ``file_name`` entries start from."""

    ann_file: Path
    img_dir: Path


def find_coco_folder(folder: str | Path) -> dict[str, CocoSplit]:
    """The splits of a COCO data set on disk.

    Known are ``annotations/instances_{train,val,test}*.json``, ``{train,val,test}*.json`` there or at the top, and one
    folder a split with its JSON file (``train/_annotations.coco.json`` of Roboflow, ``train/labels.json`` of
    FiftyOne). Images lie in ``train*/``, ``images/train*/``, ``leftImg8bit/train/``, ``images/``, ``data/`` or
    beside the file (whichever holds the first image that is listed), or anywhere below the folder.

    Returns:
        ``'train'`` and ``'val'``, and ``'test'`` where there is one.

    Raises:
        InputError: the folder, an annotation file or the images are not found; the message says what was looked for.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f'data folder {root}: {"is a file" if root.exists() else "does not exist"}')
    found = {}
    for split, names in SPLITS.items():
        ann_file = _ann_file(root, names)
        if ann_file is not None:
            found[split] = CocoSplit(ann_file, _img_dir(root, ann_file, names))
        elif split != 'test':
            wanted = [f'annotations/instances_{split}*.json', *(f'{name}/_annotations.coco.json' for name in names)]
            others = [file.name for file in _json_files(root)]
            listed = f'; no COCO annotations of one split: {few(others)}' if others else ''
            listed += foreign(root)
            raise InputError(f'data folder {root}: no {split} annotations; looked for {", ".join(wanted)}{listed}')
    return found


def find_splits(folder: str | Path, target: Path, mend: bool = False) -> dict[str, CocoSplit]:
    """The splits of a COCO, Pascal VOC or YOLO data set; the latter two as COCO files that are written to ``target``.

    Where none is for validation, every fifth image of the training split, or of all, is; that is written there too.
    With ``mend``, such a COCO file is what :class:`mmlight.data.mend.Mend` makes of it.

    Raises:
        InputError: as :func:`find_coco_folder` and :func:`mmlight.data.other_formats.as_coco`.
    """
    root = Path(folder)
    named = {split: _ann_file(root, names) for split, names in SPLITS.items()}
    whole = None if named['val'] else named['train'] or _whole(root)
    if whole is not None:
        img_dir = _img_dir(root, whole, SPLITS['train'] if named['train'] else ())
        data, mended = _read(whole, img_dir, mend)
        found = _held_out(data, root, img_dir, target, f'of {whole.name}', mended)
        test = named['test'] and CocoSplit(named['test'], _img_dir(root, named['test'], SPLITS['test']))
        return found | ({'test': test} if test else {})
    other = None if not root.is_dir() or any(named.values()) else read_other(root)
    if other is None:
        return find_coco_folder(root)
    kind, splits, names = other
    found = {}
    for split, content in splits.items():
        data = as_coco(root, content, names)
        names = names or [entry['name'] for entry in data['categories']]  # those of the training, which comes first
        what = f'{kind}, {split}: {len(data["annotations"])} boxes in {len(data["images"])} images'
        bare = len(data['images']) - len({entry['image_id'] for entry in data['annotations']})
        what += f', {bare} of them without any' if bare else ''
        if split == 'train' and 'val' not in splits:
            found |= _held_out(data, root, root, target, f'({what})')
        else:
            said = [f'data folder {root}: {what}']
            found[split] = CocoSplit(repaired_file(Path(f'{split}.json'), data, said, target), root)
    return found


def _held_out(
    data: dict, root: Path, img_dir: Path, target: Path, what: str, mended: Sequence[str] = ()
) -> dict[str, CocoSplit]:
    """A COCO dict as two splits."""
    said = [
        *mended,
        f'data folder {root}: has no validation split; every fifth of {len(data["images"])} images {what} is for that',
    ]
    if len(data['images']) < 2:
        raise InputError(f'data folder {root}: {len(data["images"])} images {what}, and none of val')
    found = {}
    for split in ('train', 'val'):
        images = [one for number, one in enumerate(data['images']) if (number % HOLD_OUT == 0) == (split == 'val')]
        known = {str(one['id']) for one in images}
        boxes = [one for one in data['annotations'] if str(one['image_id']) in known]
        part = {**data, 'images': images, 'annotations': boxes, 'categories': kept_categories(data)}
        found[split] = CocoSplit(repaired_file(Path(f'{split}.json'), part, said, target), img_dir)
    return found


def has_coco(root: Path) -> bool:
    """Whether a folder has COCO annotations."""
    return any(_ann_file(root, names) for names in SPLITS.values()) or _whole(root) is not None


def _json_files(*folders: Path | None) -> list[Path]:
    """The JSON files of folders and of ``annotations/`` in them."""
    places = [place for folder in folders if folder for place in (folder, _entries(folder).get('annotations'))]
    return [file for place in places for key, file in _entries(place).items() if key.endswith('.json')]


def _is_coco(file: Path) -> bool:
    try:
        return {'images', 'annotations', 'categories'} <= _parsed(file).keys()
    except InputError:
        return False


def _one(root: Path, files: list[Path], what: str) -> Path | None:
    if len(files) > 1:
        raise InputError(f'data folder {root}: several{what} annotation files ({few(files)}), expected one')
    return files[0] if files else None


def _whole(root: Path) -> Path | None:
    """The annotations of a data set without splits."""
    files = _json_files(root)
    chosen = [file for file in files if file.name.lower().startswith('instances_')] or files
    return _one(root, [file for file in chosen if _is_coco(file)], '')


def _ann_file(root: Path, names: tuple[str, ...]) -> Path | None:
    """The split's annotation file; upper and lower case are one, as in what CVAT exports."""
    files = _json_files(root)
    for name in names:
        folder = _entries(root).get(name)
        for chosen in (
            [file for file in files if file.name.lower().startswith(f'instances_{name}')],
            [file for file in _json_files(folder) if file.name.lower() == '_annotations.coco.json'],
            [file for file in files if file.name.lower().startswith(name) and _is_coco(file)],
            [file for file in _json_files(folder) if _is_coco(file)],
            [file for file in files if name in re.findall('[a-z]+', file.stem.lower()) and _is_coco(file)],
        ):
            if chosen:
                return _one(root, chosen, f' {name}')
    return None


def _entries(folder: Path | None) -> dict[str, Path]:
    """Lower-case name -> path of what is in a folder; nothing where there is none."""
    return {path.name.lower(): path for path in sorted(folder.iterdir())} if folder and folder.is_dir() else {}


def _img_dir(root: Path, ann_file: Path, names: tuple[str, ...]) -> Path:
    """The folder that holds the first listed image that is there."""
    images = _parsed(ann_file).get('images')
    if images == []:
        raise InputError(f'{ann_file}: lists no images')
    given = [entry.get('file_name') for entry in images if isinstance(entry, dict)] if isinstance(images, list) else []
    listed = [name for name in given if isinstance(name, str) and name][:LOOKED_FOR]
    if not listed:
        read_coco(ann_file)  # says what is wrong
        raise InputError(
            f'annotation file {ann_file}: images[0].file_name is {given[0]!r}, expected a string{CAN_MEND}'
        )
    suffix = ann_file.stem[len('instances_') :] if ann_file.stem.lower().startswith('instances_') else ann_file.stem
    tried = [] if ann_file.name.startswith('instances_') else [ann_file.parent]
    for name in dict.fromkeys((suffix.lower(), *names)):
        for parts in ((name,), ('images', name), (name, 'images'), (name, 'data'), ('leftimg8bit', name)):
            tried.append(_below(root, parts))
    tried += [_below(root, ('images',)), _below(root, ('data',)), _below(root, ('jpegimages',)), root]
    for name in listed:
        for folder in tried:
            if (folder / name).is_file() or (folder / name.replace('\\', '/')).is_file():
                return folder
    files = Files(root)
    if any(files.find(name) is not None for name in listed):
        return root
    places = ', '.join(f'{folder.relative_to(root)}/' for folder in dict.fromkeys(tried))
    raise InputError(f'data folder {root}: image {listed[0]} of {ann_file.name} not found; looked in {places}')


def _below(root: Path, parts: tuple[str, ...]) -> Path:
    """A folder by names in any case."""
    for part in parts:
        root = _entries(root).get(part, root / part)
    return root


def _parsed(path: Path) -> dict:
    if not path.is_file():
        raise InputError(f'annotation file {path}: {"is a folder" if path.exists() else "does not exist"}')
    try:
        data = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f'annotation file {path}: {error.strerror or error}') from error
    except (ValueError, RecursionError) as error:  # JSON or encoding, or lists in lists in lists
        raise InputError(f'annotation file {path}: not JSON ({" ".join(str(error).split())})') from error
    if not isinstance(data, dict):
        raise InputError(
            f'annotation file {path}: not COCO: expected an object at the top, found {type(data).__name__}'
        )
    return data


def read_coco(ann_file: str | Path, annotated: bool = True) -> dict:
    """Parse a COCO detection file.

    Args:
        ann_file: the JSON file.
        annotated: Whether it must have annotations; COCO's test images have none.

    Raises:
        InputError: missing, unreadable, not JSON, or not COCO (which key is missing or of the wrong kind).
    """
    path = Path(ann_file)
    return _as_coco(_parsed(path), path, annotated)


def _as_coco(data: dict, path: Path, annotated: bool = True) -> dict:
    needed = {'images': ('id', 'file_name'), 'categories': ('id', 'name'),
              'annotations': ('image_id', 'category_id', 'bbox')}  # fmt: skip
    if not annotated:
        data.setdefault('annotations', [])
    for key, fields in needed.items():
        wanted = set(fields)
        entries = data.get(key)
        if not isinstance(entries, list):
            what = 'missing' if key not in data else f'is not a list but {type(entries).__name__}'
            raise InputError(f"annotation file {path}: not COCO detection: key '{key}' {what}")
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict) or not wanted <= entry.keys():
                lacking = sorted(wanted - entry.keys()) if isinstance(entry, dict) else sorted(wanted)
                raise InputError(f'annotation file {path}: {key}[{index}] lacks {", ".join(map(repr, lacking))}')
            for field in ('id', 'image_id', 'category_id'):
                if field in entry and not isinstance(entry[field], (int, str, float, NoneType)):
                    what = f'{key}[{index}].{field} is {entry[field]!r}'
                    raise InputError(f'annotation file {path}: {what}, expected a whole number{CAN_MEND}')
    return data


def coco_classes(ann_file: str | Path, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
    """The class names of a COCO file in its own order, which is that of mmdet's labels.

    Exporters such as Roboflow's add a parent category without annotations; a category that has none and is named as
    the supercategory of another is left out.

    Args:
        ann_file: the JSON file.
        default: what a file that does not exist yields instead of an error.

    Raises:
        InputError: as :func:`read_coco`; no categories; two categories of one name.
    """
    if default is not None and not Path(ann_file).exists():
        return default
    data = read_coco(ann_file)
    names = [str(entry['name']) for entry in kept_categories(data)]
    if not names:
        raise InputError(f'annotation file {ann_file}: defines no categories')
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f'annotation file {ann_file}: category names occur twice: {", ".join(twice)}')
    return tuple(names)


def cache_folder() -> Path:
    """The user's cache folder of this package."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmlight'


def _read(ann_file: Path, img_dir: Path, mend: bool) -> tuple[dict, list[str]]:
    """A COCO dict, if asked to of what :class:`Mend` makes of it, and what it changed."""
    data = _parsed(ann_file)
    said = Mend(data, f'annotation file {ann_file}', img_dir).run() if mend else []
    return _as_coco(data, ann_file), said


def repaired(split: CocoSplit, folder: Path, classes: Sequence[str] = (), mend: bool = False) -> CocoSplit:
    """The split with a repaired annotation file where its own would train, or be judged, wrongly."""
    data, mended = _read(split.ann_file, split.img_dir, mend)
    encoding = json.detect_encoding(split.ann_file.read_bytes()[:4])
    said = [] if encoding == 'utf-8' else [f'annotation file {split.ann_file}: is {encoding}, pycocotools reads UTF-8']
    said += mended
    said += Repair(data, f'annotation file {split.ann_file}', split.img_dir, classes).run()
    return replace(split, ann_file=repaired_file(split.ann_file, data, said, folder)) if said else split


def use_coco_folder(cfg: Config, folder: str | Path, repaired_to: str | Path | None = None) -> Config:
    """Points an mmdet config at a COCO, Pascal VOC or YOLO folder, in place: data loaders, evaluators, classes,
    ``num_classes``.

    The classes are those of the training annotations. ``num_classes`` of every detection head follows; RPN heads,
    which know objects from background only, are left alone. Test uses the test split if there is one, else val.

    A file that lacks what mmdet or pycocotools need, or whose ids, order or sizes would mislead them, is repaired in a
    copy (:mod:`mmlight.data.repair`); :func:`mmlight.data.check.check_config_data` says what was changed.

    Args:
        cfg: Config to change.
        folder: COCO folder.
        repaired_to: Folder for the copies; by default the config's work dir, else the user's cache.

    Returns:
        ``cfg``.

    Raises:
        InputError: as :func:`find_coco_folder` and :func:`coco_classes`; the config has no COCO data set to replace.
    """
    target = Path(repaired_to or cfg.get('work_dir') or cache_folder()) / 'annotations'
    found = find_splits(folder, target)
    train = repaired(found.pop('train'), target)
    classes = coco_classes(train.ann_file)
    splits = {'train': train, **{name: repaired(split, target, classes) for name, split in found.items()}}
    splits.setdefault('test', splits['val'])
    for loader, split in zip(LOADERS, ('train', 'val', 'test'), strict=True):
        if not cfg.get(loader):
            continue
        cfg[loader] = copy.deepcopy(cfg[loader])  # configs often share one object between val and test
        datasets = list(iter_datasets(cfg[loader].get('dataset')))
        if len(datasets) != 1 or 'ann_file' not in datasets[0][1]:
            raise InputError(f'config key {loader}.dataset: expected one data set with an annotation file')
        dataset = datasets[0][1]
        dataset.pop('data_root', None)  # joined into relative paths only
        dataset.type = 'CocoDataset'
        dataset.ann_file = str(splits[split].ann_file.absolute())
        dataset.data_prefix = ConfigDict(img=str(splits[split].img_dir.absolute()) + '/')
        dataset.metainfo = ConfigDict(classes=classes)
    for key, split in (('val_evaluator', 'val'), ('test_evaluator', 'test')):
        if not cfg.get(key):
            continue
        cfg[key] = copy.deepcopy(cfg[key])
        evaluators = cfg[key]
        for evaluator in evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]:
            if 'ann_file' in evaluator:
                evaluator.ann_file = str(splits[split].ann_file.absolute())
            elif evaluator.get('type') == 'VOCMetric':
                raise InputError(f'config key {key}: VOCMetric cannot evaluate a COCO folder, use CocoMetric')
    for _, head in iter_class_counts(cfg.model):
        head.num_classes = len(classes)
    say_once(cfg, folder, classes)
    return cfg


STALE = (
    *('dataset_type', 'train_ann', 'val_ann', 'annotations', 'images', 'ann_file', 'train_pipeline', 'test_pipeline'),
    *('decode_head', 'auxiliary_head'),
)
"""What configs name at their top to use it below, where it has been replaced."""


def say_once(cfg: Config, folder: str | Path, classes: Sequence[str]) -> None:
    """Let a config's top say what its data loaders say, which now have other data."""
    for name in STALE:
        cfg.pop(name, None)
    cfg.data_root = f'{Path(folder).absolute()}/'
    cfg.metainfo = ConfigDict(classes=tuple(classes))
    if 'classes' in cfg:
        cfg.classes = tuple(classes)


def iter_datasets(dataset: ConfigDict | None, where: str = 'dataset') -> Iterator[tuple[str, ConfigDict]]:
    """(config key, data set) for each real data set below wrappers such as RepeatDataset and ConcatDataset."""
    if not dataset:
        return
    inner = dataset.get('dataset')
    if inner:
        yield from iter_datasets(inner, f'{where}.dataset')
    elif isinstance(dataset.get('datasets'), (list, tuple)):
        for index, one in enumerate(dataset['datasets']):
            yield from iter_datasets(one, f'{where}.datasets[{index}]')
    else:
        yield where, dataset


def iter_class_counts(node: object, where: str = 'model') -> Iterator[tuple[str, ConfigDict]]:
    """(config key, dict) of every part of a model that has ``num_classes``, backbones and RPN heads apart."""
    if isinstance(node, dict):
        if 'num_classes' in node:
            yield where, node
        for key, value in node.items():
            if key not in ('backbone', 'rpn_head'):
                yield from iter_class_counts(value, f'{where}.{key}')
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from iter_class_counts(value, f'{where}[{index}]')
