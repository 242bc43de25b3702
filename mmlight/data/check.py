"""Looks at the data before training: what would fail later, or silently train on nothing, is said in one line."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import mmcv
import numpy as np
from mmengine import fileio
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from PIL import Image

from mmlight.data.check_coco import absent_files, check_coco, check_unique, dark_images, few
from mmlight.data.coco_folder import LOADERS, iter_class_counts, iter_datasets, read_coco
from mmlight.data.repair import image_size, shown_size
from mmlight.errors import InputError

SAMPLED_LABELS = 8  # label files that are opened per data set


def check_config_data(cfg: Config, sections: Sequence[str] = LOADERS) -> list[str]:
    """Checks every data set of a detection or segmentation config, and the class counts of model and pipeline
    against it.

    A config with ``data_check = 'warn'`` trains although annotated categories are not among its classes, boxes reach
    beyond their images or images are missing; with ``data_check = 'off'`` nothing is looked at.

    Args:
        cfg: the config.
        sections: the data loaders to look at.

    Returns:
        Warnings, which are logged too.

    Raises:
        InputError: the first thing that cannot work.
    """
    level = cfg.get('data_check', 'error')
    if level == 'off':
        return []
    warnings: list[str] = []
    seen = set()
    for section in sections:
        for where, settings in iter_datasets((cfg.get(section) or {}).get('dataset'), f'{section}.dataset'):
            dataset = _lazy(settings, where, cfg.get('default_scope'))
            if dataset is None:
                continue
            classes = _class_names(dataset, where)
            pipeline = settings.get('pipeline')
            if not isinstance(pipeline or [], (list, tuple)):
                raise InputError(f'config key {where}.pipeline: {pipeline!r}; must be a list of transforms')
            parts = {'model': cfg.get('model'), f'{where}.pipeline': pipeline}
            _check_num_classes(parts, classes, where)
            key = (type(dataset), dataset.ann_file, tuple(sorted(dataset.data_prefix.items())), tuple(classes))
            if key not in seen:
                seen.add(key)
                warnings += _check_dataset(dataset, classes, where, level, settings)
            evaluator = cfg.get(section.replace('dataloader', 'evaluator'))
            warnings += _check_evaluator(evaluator, dataset, section.replace('dataloader', 'evaluator'))
    for warning in warnings:
        print_log(warning, logger='current', level=logging.WARNING)
    return warnings


def _lazy(settings: ConfigDict, where: str, scope: str | None) -> BaseDataset | None:
    """The data set with its paths and classes worked out, but nothing read; None for kinds unknown to mmengine."""
    for key, kinds, wanted in (
        ('type', (str, type), 'the name of a class'),
        ('data_prefix', dict, 'a dict of folders'),
    ):
        if not isinstance(settings.get(key, {} if kinds is dict else ''), kinds):
            raise InputError(f'config key {where}.{key} is {settings[key]!r}, expected {wanted}')
    metainfo = settings.get('metainfo') or {}
    names = metainfo.get('classes') if isinstance(metainfo, dict) else None
    if isinstance(names, str) and not os.path.isfile(names):
        raise InputError(f"{where}.metainfo.classes is the string '{names}', expected a tuple: ('{names}',)")
    if names is not None and not isinstance(names, (list, tuple)):
        raise InputError(f'{where}.metainfo.classes is {names!r}, expected a tuple of names')
    with DATASETS.switch_scope_and_registry(scope) as registry:
        cls = settings['type'] if isinstance(settings['type'], type) else registry.get(settings['type'])
        if cls is None or not (isinstance(cls, type) and issubclass(cls, BaseDataset)):
            return None
        try:
            return registry.build({**settings, 'pipeline': [], 'lazy_init': True})
        except (AssertionError, ValueError, TypeError, OSError) as error:
            reason = ' '.join(str(error).split()) or type(error).__name__
            raise InputError(f'config key {where}: {settings["type"]} cannot be built: {reason}') from error


def _class_names(dataset: BaseDataset, where: str) -> list[str]:
    classes = list(dataset.metainfo.get('classes') or ())
    check_unique(classes, f'config key {where}: class names')
    return classes


def _check_num_classes(parts: dict[str, object], classes: Sequence[str], where: str) -> None:
    for key, node in parts.items():
        for place, part in iter_class_counts(node, key):
            if classes and isinstance(part['num_classes'], int) and part['num_classes'] != len(classes):
                has = f'{len(classes)} classes ({few(classes)})'
                raise InputError(f'config key {place}.num_classes is {part["num_classes"]}, but {where} has {has}')


def _skips_broken(settings: ConfigDict) -> bool:
    """Whether the pipeline is told to go on without images that it cannot read."""
    loaders = [step for step in settings.get('pipeline') or [] if isinstance(step, dict)]
    return any(step.get('on_error') == 'skip' or step.get('ignore_empty') for step in loaders)


def _check_left(dataset: BaseDataset, pipeline: list, where: str) -> list[str]:
    """What the data set's own filters leave to train on, and whether its masks are there."""
    data = read_coco(dataset.ann_file)
    least = (dataset.filter_cfg or {}).get('min_size', 0)
    images = {entry['id']: entry for entry in data['images']}
    small = {key for key, entry in images.items() if min(entry['width'], entry['height']) < least}
    name = f'annotation file {dataset.ann_file}'
    if len(small) == len(images):
        raise InputError(
            f'{name}: all {len(images)} images are smaller than the {least} pixels of {where}.filter_cfg.min_size; '
            f'set it lower: --cfg-options {where}.filter_cfg.min_size=1'
        )
    if (dataset.filter_cfg or {}).get('filter_empty_gt') and not dataset.test_mode and not data['annotations']:
        raise InputError(
            f'{name}: no annotations, and {where}.filter_cfg.filter_empty_gt leaves out images without: nothing to '
            'train on'
        )
    with_masks = any(isinstance(step, dict) and step.get('with_mask') for step in pipeline)
    boxes = [entry['id'] for entry in data['annotations'] if not entry.get('segmentation') and not entry.get('iscrowd')]
    if with_masks and boxes:
        raise InputError(
            f'{name}: {len(boxes)} of {len(data["annotations"])} annotations have no segmentation, which the config '
            f'trains masks from: ids {few(boxes)}'
        )
    warnings = []
    if small:
        warnings += [
            f'{name}: {len(small)} of {len(images)} images are smaller than {least} pixels (left out by filter_cfg)'
        ]
    bare = len(images.keys() - {entry['image_id'] for entry in data['annotations']})
    if bare and (dataset.filter_cfg or {}).get('filter_empty_gt'):
        warnings += [f'{name}: {bare} of {len(images)} images have no annotations (left out by filter_empty_gt)']
    return warnings


def _check_dataset(dataset: BaseDataset, classes: list[str], where: str, level: str, settings: ConfigDict) -> list[str]:
    if getattr(dataset, 'backend_args', None) or '://' in f'{dataset.ann_file}{dataset.data_root}':
        return []  # not on this machine's disk
    if dataset.data_root and not os.path.isdir(dataset.data_root):
        built_in = os.path.basename(os.path.normpath(dataset.data_root)) == 'sample'
        hint = f' (`mmlight sample --out {dataset.data_root}` draws it)' if built_in else ''
        raise InputError(f'config key {where}.data_root: folder {dataset.data_root} does not exist{hint}')
    if hasattr(dataset, 'seg_map_suffix') and hasattr(dataset, 'img_suffix'):
        return _check_segmentation(dataset, classes, where)
    if _reads_plain_coco(type(dataset)):
        missing = 'warn' if _skips_broken(settings) else level
        pipeline = settings.get('pipeline') or []
        annotated = not dataset.test_mode
        warnings = check_coco(
            dataset.ann_file,
            _image_folder(dataset),
            classes,
            level=level,
            missing_images=missing,
            annotated=annotated,
        )
        return warnings + (_check_left(dataset, pipeline, where) if annotated else [])
    if dataset.ann_file and not os.path.exists(dataset.ann_file):
        raise InputError(f'config key {where}.ann_file: {dataset.ann_file} does not exist')
    return []


def _reads_plain_coco(cls: type) -> bool:
    """Whether mmdet's CocoDataset itself reads the file; panoptic COCO and LVIS have their own keys."""
    owners = [
        next((c.__name__ for c in cls.__mro__ if name in vars(c)), None)
        for name in ('load_data_list', 'parse_data_info')
    ]
    return owners == ['CocoDataset', 'CocoDataset']


def _image_folder(dataset: BaseDataset) -> str:
    return dataset.data_prefix.get('img') or dataset.data_prefix.get('img_path') or '.'


def _check_evaluator(evaluator: object, dataset: BaseDataset, where: str) -> list[str]:
    warnings = []
    for one in evaluator if isinstance(evaluator, (list, tuple)) else [evaluator]:
        path = one.get('ann_file') if isinstance(one, dict) else None
        if not isinstance(path, str | None):
            raise InputError(f'config key {where}.ann_file is {path!r}, expected the name of a file')
        if not path or '://' in path:
            continue
        if not os.path.isfile(path):
            raise InputError(f'config key {where}.ann_file: annotation file {path} does not exist')
        if os.path.isfile(dataset.ann_file) and not os.path.samefile(path, dataset.ann_file):
            warnings.append(f'{where}.ann_file {path} is not the data set that is predicted, {dataset.ann_file}')
    return warnings


def _check_segmentation(dataset: BaseDataset, classes: list[str], where: str) -> list[str]:
    folders = {key: dataset.data_prefix.get(key) for key in ('img_path', 'seg_map_path')}
    for key, folder in folders.items():
        if folder and not os.path.isdir(folder):
            raise InputError(f'config key {where}.data_prefix.{key}: folder {folder} does not exist')
    if dataset.ann_file and not os.path.exists(dataset.ann_file):
        raise InputError(f'config key {where}.ann_file: {dataset.ann_file} does not exist')
    pairs = [(one['img_path'], one.get('seg_map_path')) for one in dataset.load_data_list()]
    if not pairs:
        raise InputError(f'{where}: no *{dataset.img_suffix} below {folders["img_path"]}')
    absent = set(absent_files([path for pair in pairs for path in pair if path], Path('.')))
    images = [image for image, _ in pairs if image in absent]
    labels = [image for image, label in pairs if label in absent]
    if images:
        raise InputError(f'{where}: {len(images)} of {len(pairs)} images do not exist: {few(images)}')
    if labels:
        example = next(label for _, label in pairs if label in absent)
        raise InputError(
            f'{where}: {len(labels)} of {len(pairs)} images have no label file: {few(labels)}; looked for {example}'
        )
    labelled = [pair for pair in pairs if pair[1]]
    for image, label in labelled:  # headers alone: quick enough for all
        _check_sizes(image, label)
    sampled = np.unique(np.linspace(0, len(labelled) - 1, min(SAMPLED_LABELS, len(labelled))).astype(int))
    found: set[int] = set()
    for index in sampled:
        image, label = labelled[index]
        found |= _check_labels(image, label, dataset, classes)
    dark = dark_images([Path(image) for image, _ in pairs])
    if dataset.label_map or dataset.reduce_zero_label or not found:
        return dark
    if found <= {0, dataset.ignore_index} and dataset.ignore_index in found and len(classes) <= 2:
        raise InputError(
            f'{where}: the label files hold {few(sorted(found))} alone: {dataset.ignore_index} is ignored, so the '
            f'class {classes[-1]} would never be trained; write its pixels as {len(classes) - 1}'
        )
    return dark


def _check_sizes(image_file: str, label_file: str) -> None:
    """The label map is one channel of the size of its image (as EXIF turns it); damaged files are the loader's."""
    image, label = shown_size(image_file), image_size(label_file)
    if image is None or label is None:
        return
    if image != label[0]:
        raise InputError(f'label file {label_file}: {label[0]} pixels, its image has {image}')
    with Image.open(label_file) as opened:
        if opened.mode in ('RGB', 'RGBA', 'CMYK', 'YCbCr', 'LA'):
            raise InputError(f'label file {label_file}: {len(opened.getbands())} channels, expected one with class ids')


def _check_labels(image_file: str, label_file: str, dataset: BaseDataset, classes: list[str]) -> set[int]:
    """The values of a label file; wrong ones are InputErrors."""
    labels = _decode(label_file, 'unchanged', 'pillow').squeeze()  # as mmseg reads them
    if labels.ndim != 2:
        raise InputError(f'label file {label_file}: {labels.shape[-1]} channels, expected one with class ids')
    size = _decode(image_file, 'color', 'cv2').shape[:2]
    if size != labels.shape:
        raise InputError(f'label file {label_file}: {labels.shape[::-1]} pixels, its image has {size[::-1]}')
    known = len(type(dataset).METAINFO.get('classes') or classes) if dataset.label_map else len(classes)
    low, high = (1, known) if dataset.reduce_zero_label else (0, known - 1)
    values = [int(value) for value in np.unique(labels) if value != dataset.ignore_index]
    wrong = [value for value in values if not low <= value <= high and not (value == 0 and low == 1)]
    if wrong:
        hint = '; are these labelIds instead of labelTrainIds?' if label_file.endswith('_labelIds.png') else ''
        raise InputError(
            f'label file {label_file}: values {few(wrong)} are beyond the {known} classes '
            f'({low} to {high}, {dataset.ignore_index} = ignore){hint}'
        )
    return {int(value) for value in np.unique(labels)}


def _decode(path: str, flag: str, backend: str) -> np.ndarray:
    try:
        image = mmcv.imfrombytes(fileio.get(path), flag=flag, backend=backend)
    except Exception as error:  # each decoder has its own
        raise InputError(f'image {path}: cannot be decoded ({" ".join(str(error).split())})') from error
    if image is None:
        raise InputError(f'image {path}: cannot be decoded')
    return image
