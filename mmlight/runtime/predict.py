"""Prediction on images and videos: drawn pictures and one JSON file, for detectors and segmentors alike."""

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import torch
from mmcv.transforms import Compose, LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import VISUALIZERS
from mmengine.structures import BaseDataElement, PixelData
from mmengine.visualization import Visualizer

from mmlight.errors import InputError
from mmlight.files import put
from mmlight.runtime.config import innermost, is_segmentation, load_config, one_line
from mmlight.runtime.device import use_device
from mmlight.runtime.exports import check_formats, export, files_of, ids
from mmlight.runtime.inference import check_size
from mmlight.runtime.large_photos import spare_memory
from mmlight.runtime.model import build_model, published_weights
from mmlight.runtime.progress import track
from mmlight.runtime.sources import Frame, find_sources, frames, length
from mmlight.runtime.unique_names import Names
from mmlight.weights.catalogue import for_config

LARGEST_PHOTO = 24_000_000  # pixels that enter a network, or that masks are made for: up to 7 GB
LARGEST_PICTURE = 2**23  # pixels of what is drawn: matplotlib takes 140 bytes for each
READ_ERRORS = (InputError, OSError, ValueError, AttributeError, TypeError, MemoryError, cv2.error)


@dataclass
class Prediction:
    """What :func:`predict` made.

    Attributes:
        json: path of the JSON file.
        pictures: paths of the drawn pictures, one per image that could be read.
        videos: paths of the drawn videos, one per video of which a frame could be read.
        failed: (image or video, reason) of those that could not.
        content: what is in the JSON file.
    """

    json: Path
    pictures: list[Path] = field(default_factory=list)
    videos: list[Path] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    content: dict = field(default_factory=dict)


@dataclass(frozen=True)
class _Output:
    """Where predictions go, and which."""

    folder: Path
    score_thr: float
    formats: tuple[str, ...]


def predict(
    config: str | os.PathLike | Config,
    images: str | os.PathLike | Sequence[str | os.PathLike],
    weights: str | os.PathLike | None = None,
    out: str | os.PathLike | None = None,
    score_thr: float = 0.3,
    device: str | None = None,
    cfg_options: dict | None = None,
    formats: Sequence[str] = (),
) -> Prediction:
    """Run a model on images and videos, draw what it finds, and write it as JSON.

    Below ``out`` (default ``predictions/<config name>``): ``pictures/*`` with boxes, masks or label overlays,
    ``labels/*.png`` (segmentation: class index per pixel, in the image's size), and ``predictions.json`` with, per
    image, ``file``, ``width``, ``height``, ``picture`` and either ``detections`` (in COCO's result format: ``bbox`` as
    x, y, width, height in pixels, ``score``, ``category``, its ``category_id`` in the config's test annotations, or the
    class index where that file is not there, and for masks ``segmentation`` as RLE) or ``labels`` and ``share`` (class
    name -> share of the pixels). A video's frames are drawn into ``videos/*.mp4``; each has an entry, with ``video``
    and ``frame`` (from 0) instead of ``picture``.
    Images are put in batches of ``test_dataloader.batch_size`` where they have one size behind the test pipeline, so
    that predictions do not depend on it.

    Args:
        config: path, name of a shipped config, or a loaded config.
        images: files, folders, patterns, addresses, webcams: as :func:`mmlight.runtime.sources.find_sources`.
        weights: checkpoint, or a name in the catalogue of published weights; by default the published ones for this
            config. Where there are none, and with ``'initial'``, the model has its initial weights, with a warning.
        out: the folder.
        score_thr: detections below this score are neither drawn nor written.
        device: ``cpu``, ``cuda`` or ``cuda:N``; by default a GPU if there is one.
        cfg_options: dotted key -> value, merged into the config.
        formats: further files to write, of ``coco``, ``csv``, ``yolo`` and ``masks``:
            :func:`mmlight.runtime.exports.export`.

    Raises:
        InputError: config, weights or arguments cannot work, or there is no image to read.
    """
    if not 0 <= score_thr <= 1:
        raise InputError(f'--score-thr {score_thr}: allowed is 0 to 1')
    cfg = config if isinstance(config, Config) else load_config(config, cfg_options)
    check_formats(tuple(formats), cfg)
    sources = find_sources([images] if isinstance(images, (str, os.PathLike)) else images)
    if weights is None and for_config(Path(cfg.filename or '').name.removesuffix('.py')):
        weights = 'published'
    weights = published_weights(cfg, None if weights == 'initial' else weights)
    folder = Path(out) if out is not None else Path('predictions') / Path(cfg.filename or 'config').stem
    for given in [images] if isinstance(images, (str, os.PathLike)) else images:
        if Path(given).is_dir() and folder.resolve().is_relative_to(Path(given).resolve()):
            raise InputError(f'--out {folder}: lies in the image folder {given}, whose images the next call would take')
    written = {(folder / name).resolve() for name in ('pictures', 'labels', 'masks', 'videos')}
    for source in sources:
        if Path(source).resolve().parent in written:
            raise InputError(f'--out {folder}: its pictures would replace the image {source}')
    try:
        (folder / 'pictures').mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f'--out {folder}: cannot be created ({error.strerror})') from error
    with use_device(device):
        model, meta = build_model(cfg, weights)
        return _predict_files(cfg, model, meta, sources, _Output(folder, score_thr, tuple(formats)), weights)


def _predict_files(cfg, model, meta, sources, output, weights) -> Prediction:
    result = Prediction(output.folder / 'predictions.json')
    entries: list[dict] = []
    try:
        with tempfile.TemporaryDirectory(prefix='mmlight-predict-') as temporary:
            _fill(result, entries, _Network(cfg, model), _Drawer(cfg, meta, output), _items(sources, temporary))
    finally:  # an interruption keeps what is there
        _write(result, cfg, meta, weights, entries)
        export(output.formats, result.content, output.folder, cfg)
    return result


def _items(sources: list[str], temporary: str) -> Iterator[Frame | tuple[str, str]]:
    """Each frame of each source; (source, reason) for a source that cannot be read."""
    lengths = [found for source in sources if (found := length(source)) is not None]
    total = sum(lengths) if len(lengths) == len(sources) else None

    def read() -> Iterator[Frame | tuple[str, str]]:
        for source in sources:
            try:
                yield from frames(source, temporary)
            except READ_ERRORS as error:
                yield source, one_line(error)

    return track(read(), 'predict', total)


def _fill(result, entries, network, drawer, items) -> None:
    for frame, sample in network.run(items):
        if isinstance(sample, str):
            result.failed.append((frame if isinstance(frame, str) else frame.source, sample))
            continue
        entries.append(drawer.draw(frame, sample, result))
    drawer.close()


class _Network:
    """Runs frames through the test pipeline and the model; images that have one size there go in batches."""

    def __init__(self, cfg: Config, model: Any) -> None:
        if not (cfg.get('test_dataloader') or {}).get('dataset') or not cfg.get('visualizer'):
            raise InputError(f'config {cfg.filename}: `predict` needs its test_dataloader.dataset and visualizer')
        dataset = innermost(cfg.test_dataloader.dataset)
        self.pipeline = Compose([t for t in dataset.pipeline if 'LoadAnnotations' not in str(t['type'])])
        self.size = cfg.test_dataloader.get('batch_size') or 1
        self.model, self.count = model, 0
        if is_segmentation(cfg):
            spare_memory(model)

    def run(self, items: Iterable[Frame | tuple[str, str]]) -> Iterator[tuple[Frame | str, BaseDataElement | str]]:
        """(frame, what the model says) in the frames' order; (source or frame, reason) of what failed."""
        batch: list[tuple[Frame, dict]] = []
        for item in items:
            if isinstance(item, tuple):
                yield item
                continue
            try:
                data = self._prepare(item)
            except READ_ERRORS as error:
                yield item, one_line(error)
                continue
            if batch and (len(batch) == self.size or batch[0][1]['inputs'].shape != data['inputs'].shape):
                yield from self._predict(batch)
                batch = []
            batch.append((item, data))
        yield from self._predict(batch)

    def _prepare(self, frame: Frame) -> dict:
        path = str(frame.path or frame.source)
        data: dict[str, Any] = {'img_path': path, 'img_id': self.count, 'reduce_zero_label': False, 'seg_fields': []}
        self.count += 1
        for step in self.pipeline.transforms:
            if frame.path is None and isinstance(step, LoadImageFromFile):
                image = frame.image.astype(np.float32) if step.to_float32 else frame.image
                data.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
            else:
                data = step(data)
        masks = getattr(self.model, 'with_mask', False)
        for shape in (data['inputs'].shape[-2:], *([frame.image.shape[:2]] if masks else [])):
            check_size(shape, f'image {frame.source}', LARGEST_PHOTO)
        return data

    def _predict(self, batch: list[tuple[Frame, dict]]) -> Iterator[tuple[Frame, BaseDataElement | str]]:
        if not batch:
            return
        try:
            with torch.no_grad():
                samples = self.model.test_step(pseudo_collate([data for _, data in batch]))
        except (RuntimeError, ValueError) as error:  # a size that the network cannot take, or no memory for it
            if len(batch) > 1:
                for one in batch:
                    yield from self._predict([one])
                return
            frame, data = batch[0]
            size = ' x '.join(map(str, data['inputs'].shape[-2:]))
            yield frame, f'image {frame.source}: the network cannot run on its {size} pixels ({one_line(error)})'
            return
        for (frame, _), sample in zip(batch, samples, strict=True):
            yield frame, sample.cpu()


class _Drawer:
    """Writes pictures, output videos and label images, and makes the entries of the JSON file."""

    def __init__(self, cfg: Config, meta: dict, output: _Output) -> None:
        self.output, self.classes = output, meta.get('classes')
        self.visualizer = _visualizer(cfg, meta)
        self.visualizer.add_image = self._keep
        self.names, self.video = Names(), ''
        self.source: str | None = None
        self.drawn: Any = None
        self.writer: Any = None

    def _keep(self, name: str, image: np.ndarray, *args, **kwargs) -> None:
        self.drawn = image

    def draw(self, frame: Frame, sample: BaseDataElement, result: Prediction) -> dict:
        """Writes what belongs to one frame; its entry."""
        folder, (height, width) = self.output.folder, frame.image.shape[:2]
        entry = {'file': frame.source, 'width': width, 'height': height}
        threshold = {}
        if 'pred_instances' in sample:
            entry['detections'] = detections(sample.pred_instances, self.classes, self.output.score_thr)
            threshold = {'pred_score_thr': self.output.score_thr}
        image, shown = _drawable(frame.image, sample)
        self.visualizer.add_datasample(
            frame.name, image[..., ::-1], data_sample=shown, draw_gt=False, show=False, **threshold
        )
        picture = np.ascontiguousarray(self.drawn[..., ::-1])
        if frame.number is None:
            entry['picture'] = f'pictures/{self.names.free(Path(frame.name))}'
            _write_image(folder / entry['picture'], picture)
            result.pictures.append(folder / entry['picture'])
        else:
            self._add_to_video(frame, picture, result)
            entry.update(frame=frame.number, video=self.video)
        if 'pred_sem_seg' in sample:
            labels = sample.pred_sem_seg.data.squeeze(0).numpy()
            entry['labels'] = f'labels/{files_of(entry)}.png'
            _write_image(folder / entry['labels'], labels.astype(np.uint8 if labels.max() < 256 else np.uint16))
            entry['share'] = shares(labels, self.classes)
        return entry

    def _add_to_video(self, frame: Frame, picture: np.ndarray, result: Prediction) -> None:
        if frame.source != self.source:
            self.close()
            self.source = frame.source
            self.video = f'videos/{Path(self.names.free(Path(frame.name))).stem}.mp4'
            file = self.output.folder / self.video
            file.parent.mkdir(exist_ok=True)
            size = picture.shape[1::-1]
            self.writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*'mp4v'), frame.rate, size)
            if not self.writer.isOpened():
                raise InputError(f'video {file}: cannot be written')
            result.videos.append(file)
        self.writer.write(picture)

    def close(self) -> None:
        """Ends the output video."""
        if self.writer is not None:
            self.writer.release()
            self.writer = None


def _drawable(image: np.ndarray, sample: BaseDataElement) -> tuple[np.ndarray, BaseDataElement]:
    """Image and predictions, made smaller where drawing them would take gigabytes."""
    height, width = image.shape[:2]
    scale = (LARGEST_PICTURE / (height * width)) ** 0.5
    if scale >= 1:
        return image, sample
    image, sample = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), sample.clone()
    size = image.shape[:2]
    if 'pred_instances' in sample:
        sample.pred_instances = instances = sample.pred_instances.clone()
        instances.bboxes = instances.bboxes * scale
        if 'masks' in instances:
            instances.masks = _smaller(instances.masks, size)
    if 'pred_sem_seg' in sample:
        sample.pred_sem_seg = PixelData(data=_smaller(sample.pred_sem_seg.data, size))
    return image, sample


def _smaller(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(N, H, W) -> (N, *size), the nearest pixel of each."""
    rows, columns = (torch.arange(to) * side // to for to, side in zip(size, maps.shape[-2:], strict=True))
    return maps[:, rows][:, :, columns]


def _write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), image):
        raise InputError(f'image {path}: cannot be written')


def _write(result: Prediction, cfg: Config, meta: dict, weights: str | os.PathLike | None, entries: list[dict]) -> None:
    own = {} if is_segmentation(cfg) else ids(cfg)[1]
    for one in (one for entry in entries for one in entry.get('detections', ())):
        one['category_id'] = own.get(one['category'], one['category_id'])
    result.content = {
        'config': str(cfg.filename),
        'weights': None if weights is None else str(weights),
        'classes': list(meta.get('classes') or []),
        'images': entries,
        'failed': [{'file': file, 'reason': reason} for file, reason in result.failed],
    }
    put(json.dumps(result.content, indent=1) + '\n', result.json)


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
