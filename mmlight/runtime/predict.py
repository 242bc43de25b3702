"""Prediction on image files: drawn pictures and one JSON file, for detectors and segmentors alike."""

import glob
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import VISUALIZERS
from mmengine.visualization import Visualizer

from mmlight.data import LoadImage
from mmlight.errors import InputError
from mmlight.runtime.config import innermost, load_config, one_line
from mmlight.runtime.device import use_device
from mmlight.runtime.model import build_model, published_weights
from mmlight.runtime.progress import track
from mmlight.weights.catalogue import for_config

LONGEST_NAME = 255  # bytes, on every usual file system
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp', '.ppm')


@dataclass
class Prediction:
    """What :func:`predict` made.

    Attributes:
        json: path of the JSON file.
        pictures: paths of the drawn pictures, one per image that could be read.
        failed: (image, reason) of those that could not.
        content: what is in the JSON file.
    """

    json: Path
    pictures: list[Path] = field(default_factory=list)
    failed: list[tuple[Path, str]] = field(default_factory=list)
    content: dict = field(default_factory=dict)


def predict(
    config: str | os.PathLike | Config,
    images: str | os.PathLike | Sequence[str | os.PathLike],
    weights: str | os.PathLike | None = None,
    out: str | os.PathLike | None = None,
    score_thr: float = 0.3,
    device: str | None = None,
    cfg_options: dict | None = None,
) -> Prediction:
    """Run a model on image files, draw what it finds, and write it as JSON.

    Below ``out`` (default ``predictions/<config name>``): ``pictures/*`` with boxes, masks or label overlays,
    ``labels/*.png`` (segmentation: class index per pixel, in the image's size), and ``predictions.json`` with, per
    image, ``file``, ``width``, ``height``, ``picture`` and either ``detections`` (in COCO's result format: ``bbox`` as
    x, y, width, height in pixels, ``score``, ``category_id`` = class index, ``category``, and for masks
    ``segmentation`` as RLE) or ``labels`` and ``share`` (class name -> share of the pixels).

    Args:
        config: path, name of a shipped config, or a loaded config.
        images: files, folders (all images directly in them) and patterns.
        weights: checkpoint, or a name in the catalogue of published weights; by default the published ones for this
            config. Where there are none, and with ``'initial'``, the model has its initial weights, with a warning.
        out: the folder.
        score_thr: detections below this score are neither drawn nor written.
        device: ``cpu``, ``cuda`` or ``cuda:N``; by default a GPU if there is one.
        cfg_options: dotted key -> value, merged into the config.

    Raises:
        InputError: config, weights or arguments cannot work, or there is no image to read.
    """
    if not 0 <= score_thr <= 1:
        raise InputError(f'--score-thr {score_thr}: allowed is 0 to 1')
    cfg = config if isinstance(config, Config) else load_config(config, cfg_options)
    files = find_images([images] if isinstance(images, (str, os.PathLike)) else images)
    if weights is None and for_config(Path(cfg.filename or '').name.removesuffix('.py')):
        weights = 'published'
    weights = published_weights(cfg, None if weights == 'initial' else weights)
    folder = Path(out) if out is not None else Path('predictions') / Path(cfg.filename or 'config').stem
    for given in [images] if isinstance(images, (str, os.PathLike)) else images:
        if Path(given).is_dir() and folder.resolve().is_relative_to(Path(given).resolve()):
            raise InputError(f'--out {folder}: lies in the image folder {given}, whose images the next call would take')
    try:
        (folder / 'pictures').mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'--out {folder}: cannot be created ({error.strerror})') from error
    with use_device(device):
        model, meta = build_model(cfg, weights)
        return _predict_files(cfg, model, meta, files, folder, score_thr, weights)


def find_images(patterns: Sequence[str | os.PathLike]) -> list[Path]:
    """The image files that ``patterns`` (files, folders with all below them, globs) mean, in order, each once.

    Raises:
        InputError: a pattern matches nothing.
    """
    files: list[Path] = []
    for pattern in patterns:
        path = Path(pattern)
        if len(os.fsencode(path.name)) > LONGEST_NAME:
            raise InputError(f'image {path.name[:40]}…: no file has a name of {len(path.name)} characters')
        if path.is_dir():
            found = sorted(p for p in path.rglob('*') if p.suffix.lower() in IMAGE_SUFFIXES)
            if not found:
                raise InputError(f'image folder {path}: holds no image ({", ".join(IMAGE_SUFFIXES)})')
        elif path.exists():
            found = [path]
        else:
            found = sorted(Path(p) for p in glob.glob(str(pattern), recursive=True) if Path(p).is_file())
            if not found:
                raise InputError(f'image {pattern}: no such file, folder or pattern')
        files += found
    if not files:
        raise InputError('no image given')
    return list(dict.fromkeys(files))


def _predict_files(cfg, model, meta, files, folder, score_thr, weights) -> Prediction:
    result, entries = Prediction(folder / 'predictions.json'), []
    try:
        _fill(result, entries, cfg, model, meta, files, folder, score_thr)
    finally:  # an interruption keeps what is there
        _write(result, cfg, meta, weights, entries)
    return result


def _fill(result, entries, cfg, model, meta, files, folder, score_thr) -> None:
    if not (cfg.get('test_dataloader') or {}).get('dataset') or not cfg.get('visualizer'):
        raise InputError(f'config {cfg.filename}: `predict` needs its test_dataloader.dataset and visualizer')
    dataset = innermost(cfg.test_dataloader.dataset)
    pipeline = Compose([t for t in dataset.pipeline if 'LoadAnnotations' not in str(t['type'])])
    read = LoadImage()  # notices damaged files, which decoders pass with a grey remainder
    visualizer = _visualizer(cfg, meta)
    names = Names()
    for number, file in enumerate(track(files, 'predict', len(files))):
        try:
            image = read({'img_path': str(file)})['img'][..., ::-1]
            data = pipeline({'img_path': str(file), 'img_id': number, 'reduce_zero_label': False, 'seg_fields': []})
        except (InputError, OSError, ValueError, AttributeError) as error:
            result.failed.append((file, one_line(error)))
            continue
        with torch.no_grad():
            sample = model.test_step(pseudo_collate([data]))[0].cpu()
        name = names.free(file)
        picture = folder / 'pictures' / name
        entry = {'file': str(file), 'width': image.shape[1], 'height': image.shape[0], 'picture': f'pictures/{name}'}
        threshold = {}
        if 'pred_instances' in sample:
            entry['detections'] = detections(sample.pred_instances, meta.get('classes'), score_thr)
            threshold = {'pred_score_thr': score_thr}
        if 'pred_sem_seg' in sample:
            labels = sample.pred_sem_seg.data.squeeze(0).numpy()
            (folder / 'labels').mkdir(exist_ok=True)
            entry['labels'] = f'labels/{Path(name).stem}.png'
            cv2.imwrite(str(folder / entry['labels']), labels.astype(np.uint8 if labels.max() < 256 else np.uint16))
            entry['share'] = shares(labels, meta.get('classes'))
        visualizer.add_datasample(
            name, image, data_sample=sample, draw_gt=False, show=False, out_file=str(picture), **threshold
        )
        result.pictures.append(picture)
        entries.append(entry)


def _write(result: Prediction, cfg: Config, meta: dict, weights: str | os.PathLike | None, entries: list[dict]) -> None:
    result.content = {
        'config': str(cfg.filename),
        'weights': None if weights is None else str(weights),
        'classes': list(meta.get('classes') or []),
        'images': entries,
        'failed': [{'file': str(file), 'reason': reason} for file, reason in result.failed],
    }
    part = result.json.with_suffix('.part')
    part.write_text(json.dumps(result.content, indent=1) + '\n', encoding='utf-8')
    part.replace(result.json)


def detections(instances, classes: Sequence[str] | None, score_thr: float) -> list[dict]:
    """Instances (boxes as x1, y1, x2, y2) as COCO results, best first."""
    instances = instances[instances.scores > score_thr]
    found = []
    for box, score, label in zip(
        instances.bboxes.tolist(), instances.scores.tolist(), instances.labels.tolist(), strict=True
    ):
        x1, y1, x2, y2 = (round(value, 2) for value in box)
        bbox = [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)]
        found.append(
            {'bbox': bbox, 'score': round(score, 5), 'category_id': label, 'category': _class_name(classes, label)}
        )
    if 'masks' in instances:
        from pycocotools.mask import encode

        for entry, mask in zip(found, instances.masks, strict=True):
            rle = encode(np.asfortranarray(np.asarray(mask, dtype=np.uint8)))
            entry['segmentation'] = {'size': rle['size'], 'counts': rle['counts'].decode()}
    return sorted(found, key=lambda entry: -entry['score'])


def shares(labels: np.ndarray, classes: Sequence[str] | None) -> dict[str, float]:
    """Class name -> share of the pixels (0 to 1), the largest first, classes that do not occur left out."""
    numbers, counts = np.unique(labels, return_counts=True)
    order = np.argsort(-counts)
    return {_class_name(classes, int(numbers[i])): round(float(counts[i] / labels.size), 5) for i in order}


def _class_name(classes: Sequence[str] | None, label: int) -> str:
    return classes[label] if classes and label < len(classes) else str(label)


def _visualizer(cfg: Config, meta: dict) -> Visualizer:
    settings = {**cfg.visualizer, 'vis_backends': None, 'save_dir': None, 'name': f'predict-{id(meta)}'}
    if cfg.get('default_scope') == 'mmseg':
        settings.setdefault('alpha', 0.5)  # mmseg's own 0.8 hides the picture
    matplotlib.rcParams['text.parse_math'] = False  # a name with two dollar signs is no formula
    visualizer = VISUALIZERS.build(settings)
    palette = meta.get('palette') or np.random.default_rng(0).integers(32, 256, (len(meta.get('classes') or []), 3))
    if not isinstance(palette, str):  # a name such as 'coco' is mmdet's to read
        palette = [tuple(map(int, colour)) for colour in palette]
    visualizer.dataset_meta = {**meta, 'palette': palette}
    return visualizer


class Names:
    """File names for pictures: images of one name from several folders get a number."""

    def __init__(self) -> None:
        self.taken: set[str] = set()

    def free(self, file: Path) -> str:
        suffix = file.suffix if file.suffix.lower() in ('.jpg', '.jpeg', '.png') else '.png'
        stem, number = file.stem, 0
        while stem in self.taken:
            number += 1
            stem = f'{file.stem}_{number}'
        self.taken.add(stem)
        return stem + suffix
