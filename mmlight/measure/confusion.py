"""Confusion matrices of a detector (from the pickle of ``tools/test.py --out``) and of a segmentor (same, or PNGs).

Rows are the truth, columns the prediction; entries are counts of objects or of pixels. A detector's matrix has one
more row and column, *background*: false alarms and misses.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset

from mmlight.compat.pickled_arrays import load_predictions
from mmlight.errors import InputError
from mmlight.measure.dataset_view import build_dataset
from mmlight.runtime.progress import track

BACKGROUND = 'background'


def confusion_matrix(
    config: Config, predictions: str | Path, score_thr: float = 0.3, iou_thr: float = 0.5, nms_thr: float | None = None
) -> tuple[np.ndarray, list[str]]:
    """The matrix over the test data set, (n, n) int64, and the n names of its rows and columns.

    Args:
        config: of the model that was tested.
        predictions: pickle of ``tools/test.py --out``; for segmentation also a folder of label PNGs named like the
            images.
        score_thr: see :func:`count_objects`; detection only.
        iou_thr: as ``score_thr``.
        nms_thr: as ``score_thr``.

    Raises:
        InputError: the predictions are missing, or belong to another data set or task.
    """
    dataset = build_dataset(config, 'test')
    classes = list(dataset.metainfo['classes'])
    path = Path(predictions)
    if not path.exists():
        raise InputError(
            f'{path}: no such file or folder; write it with `tools/test.py CONFIG CHECKPOINT --out {path}`'
        )
    results = _LabelFolder(path, dataset) if path.is_dir() else _read_pickle(path)
    if len(results) != len(dataset):
        raise InputError(f'{path}: {len(results)} predictions for the {len(dataset)} images of the test data set')
    segmentation = path.is_dir() or 'pred_sem_seg' in results[0]
    if not segmentation and 'pred_instances' not in results[0]:
        raise InputError(f'{path}: holds neither boxes nor label maps, but {", ".join(results[0])}')
    size = len(classes) + (not segmentation)
    matrix = np.zeros((size, size), np.int64)
    load_map: Any = _map_loader(dataset) if segmentation else None
    for index in track(range(len(dataset)), 'comparing', len(dataset)):
        info = dataset.get_data_info(index)
        if segmentation:
            predicted = results[index]['pred_sem_seg']['data']
            matrix += count_pixels(load_map(info), np.asarray(predicted).squeeze(), len(classes), info['img_path'])
        else:
            matrix += count_objects(
                info['instances'], results[index]['pred_instances'], len(classes), score_thr, iou_thr, nms_thr
            )
    return matrix, classes if segmentation else [*classes, BACKGROUND]


def count_objects(
    truth: Sequence[dict],
    predicted: dict,
    num_classes: int,
    score_thr: float = 0.3,
    iou_thr: float = 0.5,
    nms_thr: float | None = None,
) -> np.ndarray:
    """Match one image's boxes one to one, whatever their classes, and count the pairs; (n + 1, n + 1) int64.

    Detections of at least ``score_thr`` (after another NMS at ``nms_thr``, if given) take in order of their score the
    free truth of highest overlap, at least ``iou_thr``; at equal overlap one of their own class. What is left on either
    side is paired with background. A detection that fits only an ignored region (``ignore_flag``) is not counted.

    Args:
        truth: mmdet's ``instances``: dicts with ``bbox`` (x1, y1, x2, y2), ``bbox_label``, ``ignore_flag``.
        predicted: ``bboxes`` (N, 4), ``scores`` (N), ``labels`` (N), in the same pixels.
        num_classes: ``n``.
        score_thr: detections below are left out.
        iou_thr: least overlap of a pair.
        nms_thr: overlap of another suppression before; None: none.
    """
    from mmdet.evaluation import bbox_overlaps

    boxes, scores, labels = (np.asarray(predicted[key]) for key in ('bboxes', 'scores', 'labels'))
    order = np.argsort(-scores, kind='stable')
    order = order[scores[order] >= score_thr]
    if nms_thr is not None:
        order = _suppressed(boxes, labels, order, nms_thr, bbox_overlaps)
    regions = np.array([instance['bbox'] for instance in truth], np.float32).reshape(-1, 4)
    classes = np.array([instance['bbox_label'] for instance in truth], np.int64)
    ignored = np.array([bool(instance.get('ignore_flag', 0)) for instance in truth], bool)
    overlaps = bbox_overlaps(boxes[order].astype(np.float32).reshape(-1, 4), regions)
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    free = ~ignored
    for overlap, label in zip(overlaps, labels[order], strict=True):
        fits = (overlap >= iou_thr) & free
        if fits.any():
            best = max(np.flatnonzero(fits), key=lambda i: (overlap[i], classes[i] == label))
            free[best] = False
            matrix[classes[best], label] += 1
        elif not ((overlap >= iou_thr) & ignored).any():
            matrix[num_classes, label] += 1
    np.add.at(matrix, (classes[free], num_classes), 1)
    return matrix


def count_pixels(truth: np.ndarray, predicted: np.ndarray, num_classes: int, name: str = 'image') -> np.ndarray:
    """Pairs (true class, predicted class) over the pixels of one image, (n, n) int64; other labels are ignored.

    Raises:
        InputError: the two label maps differ in size.
    """
    if truth.shape != predicted.shape:
        raise InputError(f'{name}: label map is {truth.shape}, prediction {predicted.shape}; predict at full size')
    valid = (truth < num_classes) & (predicted < num_classes)
    pairs = truth[valid].astype(np.int64) * num_classes + predicted[valid]
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def plot(
    matrix: np.ndarray,
    names: Sequence[str],
    out: str | Path,
    title: str = 'Normalized Confusion Matrix',
    color_theme: str = 'plasma',
    show: bool = False,
) -> None:
    """Draw the matrix, each row in per cent of its sum, and save it; values are written up to 30 classes."""
    import matplotlib

    if not show:
        matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    if color_theme not in plt.colormaps():
        raise InputError(f'--color-theme {color_theme}: not a matplotlib colour map such as plasma, viridis, Blues')
    sums = matrix.sum(axis=1, keepdims=True)
    share = np.divide(100.0 * matrix, sums, out=np.full(matrix.shape, np.nan), where=sums > 0)
    side = min(max(4.5, 0.55 * len(names) + 2), 24)
    figure, axes = plt.subplots(figsize=(side * 1.15, side), layout='constrained')
    image = axes.imshow(share, cmap=color_theme, vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, label='% of the row', shrink=0.8)
    size = 9 if len(names) <= 30 else 5
    axes.set_xticks(range(len(names)), names, rotation=45, ha='right', rotation_mode='anchor', fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel('prediction')
    axes.set_ylabel('ground truth')
    axes.set_title(title)
    if len(names) <= 30:
        for (row, column), value in np.ndenumerate(share):
            if value >= 0.5:  # neither empty rows nor the many zeros
                red, green, blue, _ = image.cmap(value / 100)
                dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
                text = f'{value:.0f}'
                axes.text(column, row, text, ha='center', va='center', fontsize=8, color='white' if dark else 'black')
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=150)
    if show:
        plt.show()
    plt.close(figure)


def save(matrix: np.ndarray, names: Sequence[str], out: str | Path) -> None:
    """Write the counts as CSV."""
    with open(out, 'w', newline='', encoding='utf-8') as file:
        rows = ([name, *row] for name, row in zip(names, matrix, strict=True))
        csv.writer(file).writerows([['truth \\ prediction', *names], *rows])


def _suppressed(boxes, labels, order, threshold, overlap):
    kept = []
    for index in order:
        same = [other for other in kept if labels[other] == labels[index]]
        if not same or overlap(boxes[[index]], boxes[same]).max() <= threshold:
            kept.append(index)
    return np.array(kept, np.int64)


def _read_pickle(path: Path) -> list[dict]:
    results = load_predictions(path)
    if not isinstance(results, list) or not results or not isinstance(results[0], dict):
        raise InputError(f'{path}: holds no list of predictions; write it with `tools/test.py --out {path.name}`')
    return results


class _LabelFolder:
    """A folder of label PNGs, one an image, read one at a time."""

    def __init__(self, folder: Path, dataset: BaseDataset):
        self.shift = int(getattr(dataset, 'reduce_zero_label', False) or False)  # mmseg writes such labels plus one
        infos = [dataset.get_data_info(index) for index in range(len(dataset))]
        self.files = [folder / f'{Path(info["img_path"]).stem}.png' for info in infos]
        for file in self.files:
            if not file.is_file():
                raise InputError(f'{file}: no such file; the folder must hold one label PNG for each test image')

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> dict:
        import cv2

        labels = cv2.imread(str(self.files[index]), cv2.IMREAD_UNCHANGED)
        if labels is None or labels.ndim != 2:
            raise InputError(f'{self.files[index]}: not a single-channel PNG of labels')
        return {'pred_sem_seg': {'data': labels - self.shift}}


def _map_loader(dataset: BaseDataset):
    """Reads an image's label map at full size, with the data set's own loading transform."""
    for transform in dataset.pipeline.transforms:
        if type(transform).__name__ == 'LoadAnnotations':
            return lambda info: transform(info)['gt_seg_map']
    raise InputError('test_dataloader: the pipeline has no `LoadAnnotations`, so there is no truth to compare with')
