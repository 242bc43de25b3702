"""What a user wants to see after a training: figures of each class, curves, confusion, pictures, the next command."""

from __future__ import annotations

import copy
import csv
import io
import shlex
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mmengine.config import Config

from mmlight.compat.pickled_arrays import load_predictions
from mmlight.data.survey import mosaic
from mmlight.errors import InputError
from mmlight.measure.confusion import confusion_matrix, plot, save
from mmlight.measure.dataset_view import browse, build_dataset
from mmlight.measure.training_log import plot_curves, read_log
from mmlight.runtime.checkpoint import latest_checkpoint
from mmlight.runtime.config import is_segmentation, load_config, one_line
from mmlight.runtime.predict import predict
from mmlight.runtime.run import RunOptions
from mmlight.runtime.test import evaluate

PICTURES = 12
LINES = 20
"""Classes that the console shows."""


def write(cfg: Config, work_dir: Path, device: str | None = None) -> list[str]:
    """Judge the best checkpoint (else the latest) on the validation data once more and write ``work_dir/report``.

    ``per_class.csv``, ``precision_recall.png`` (detectors, at an overlap of 0.5), ``confusion_matrix.png`` and
    ``.csv``, ``curve_*.png``, ``training_batch.jpg`` (as training gets it), ``predictions.jpg``. Nothing that fails
    here is an error: the training has succeeded.

    Args:
        cfg: of the training; it lies in ``work_dir`` under the name that it has.
        work_dir: of the training.
        device: as for training.

    Returns:
        Lines for the console: the table of classes, where all is, and the commands that come next.
    """
    config, weights = work_dir / Path(cfg.filename).name, best_checkpoint(work_dir)
    if weights is None:
        return []
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):  # pycocotools prints
        warnings.simplefilter('ignore')
        lines = _judge(config, weights, work_dir / 'report', device) if cfg.get('val_evaluator') else []
        lines += _pictures(config, weights, work_dir, device)
    at = shlex.quote(str(config)), shlex.quote(str(weights))
    lines += [f'report: {work_dir / "report"}', f'best checkpoint: {weights}', 'next:']
    return lines + [f'  mmlight predict {at[0]} IMAGE --weights {at[1]}', f'  mmlight export {at[0]} {at[1]}']


def best_checkpoint(work_dir: Path) -> Path | None:
    """The newest ``best_*.pth``, else the latest checkpoint."""
    best = sorted(work_dir.glob('best_*.pth'), key=lambda file: file.stat().st_mtime)
    return best[-1] if best else latest_checkpoint(work_dir)


def _judge(config: Path, weights: Path, out: Path, device: str | None) -> list[str]:
    try:
        return _table(_classes(load_config(config), weights, out, device))
    except Exception as error:  # of a data set or an evaluator of the user's own
        return [f'no figures of the classes: {one_line(error)}']


def _classes(cfg: Config, weights: Path, out: Path, device: str | None) -> list[list[Any]]:
    """The table of the classes; it and all that is made of the same predictions are written."""
    for part in ('dataloader', 'evaluator'):
        cfg[f'test_{part}'] = copy.deepcopy(cfg[f'val_{part}'])
    cfg.log_level = 'ERROR'
    if not is_segmentation(cfg):
        for one in cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]:
            if one.type.endswith('CocoMetric'):
                one.classwise = True
    with TemporaryDirectory() as folder:
        results = f'{folder}/labels' if is_segmentation(cfg) else f'{folder}/found.pkl'
        metrics = evaluate(cfg, weights, RunOptions(folder, device=device), results)
        matrix, names = confusion_matrix(cfg, results)
        plot(matrix, names, out / 'confusion_matrix.png')
        save(matrix, names, out / 'confusion_matrix.csv')
        rows = _of_labels(matrix, names) if is_segmentation(cfg) else _of_boxes(cfg, results, metrics, out)
    with open(out / 'per_class.csv', 'w', newline='', encoding='utf-8') as file:
        csv.writer(file).writerows(rows)
    return rows


def _of_labels(matrix: np.ndarray, names: Sequence[str]) -> list[list[Any]]:
    """IoU and accuracy in per cent, and pixels, of each class."""
    found, truth, said = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    with np.errstate(invalid='ignore'):
        iou, accuracy = 100 * found / (truth + said - found), 100 * found / truth
    columns = iou.round(1).tolist(), accuracy.round(1).tolist(), truth.tolist()
    return [['class', 'IoU', 'accuracy', 'pixels'], *map(list, zip(names, *columns, strict=True))]


def _of_boxes(cfg: Config, results: str, metrics: dict, out: Path) -> list[list[Any]]:
    """AP (where the evaluator gives it) and AP at an overlap of 0.5, objects and detections; draws the curves."""
    from mmdet.evaluation import eval_map

    dataset = build_dataset(cfg, 'test')
    classes = list(dataset.metainfo['classes'])
    found, truth = [], []
    for index, one in enumerate(load_predictions(Path(results))):
        instances, objects = one['pred_instances'], dataset.get_data_info(index)['instances']
        boxes = np.column_stack([np.asarray(instances['bboxes']).reshape(-1, 4), np.asarray(instances['scores'])])
        found.append([boxes[np.asarray(instances['labels']) == label] for label in range(len(classes))])
        places = np.array([o['bbox'] for o in objects], np.float32).reshape(-1, 4)
        labels = np.array([o['bbox_label'] for o in objects], np.int64)
        ignored = np.array([bool(o.get('ignore_flag', 0)) for o in objects], bool)
        kept = dict(bboxes=places[~ignored], labels=labels[~ignored])
        truth.append(dict(kept, bboxes_ignore=places[ignored], labels_ignore=labels[ignored]))
    _, of_classes = eval_map(found, truth, iou_thr=0.5, dataset=classes, logger='silent', nproc=1)
    _draw_curves(of_classes, classes, out / 'precision_recall.png')
    rows: list[list] = [['class', 'AP', 'AP50', 'objects', 'detections']]
    for name, one in zip(classes, of_classes, strict=True):
        average = metrics.get(f'coco/{name}_precision', float('nan'))
        rows.append([name, round(float(average), 3), round(float(one['ap']), 3), int(one['num_gts']), one['num_dets']])
    return rows


def _draw_curves(of_classes: Sequence[dict], names: Sequence[str], out: Path) -> None:
    """Precision over recall of each class, those with most objects first, at most :data:`LINES`."""
    import matplotlib

    matplotlib.use('Agg')
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 6), layout='constrained')
    order = sorted(range(len(names)), key=lambda index: -int(of_classes[index]['num_gts']))
    for index in order[:LINES]:
        one = of_classes[index]
        recall, precision = np.ravel(one['recall']), np.ravel(one['precision'])
        best = np.maximum.accumulate(precision[::-1])[::-1]  # the envelope whose area AP is
        label = f'{names[index]}: AP50 {float(one["ap"]):.2f}, {int(one["num_gts"])} objects'
        axes.plot([0, *recall], [*best[:1], *best] or [0], label=label, drawstyle='steps-pre')
    axes.set(xlabel='recall', ylabel='precision', xlim=(0, 1.01), ylim=(0, 1.01), title='overlap of at least 0.5')
    axes.grid(True, alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(out, dpi=120)
    plt.close(figure)


def _pictures(config: Path, weights: Path, work_dir: Path, device: str | None) -> list[str]:
    """Curves, training data and predictions, each as far as it goes; a line for each that does not."""
    out, missing = work_dir / 'report', []
    out.mkdir(exist_ok=True)

    def curves() -> None:
        log = read_log(sorted(work_dir.glob('*/vis_data/scalars.json'))[-1])
        keys = [key for key in (*log.keys(),) if key in ('loss', 'mIoU') or key.endswith('bbox_mAP')]
        for key in keys:
            plot_curves([log], [key], out / f'curve_{key.rpartition("/")[2]}.png')

    def batch() -> None:
        with TemporaryDirectory() as folder:
            list(browse(load_config(config), 'train', folder, PICTURES))
            mosaic(sorted(Path(folder).iterdir()), out / 'training_batch.jpg')

    def predictions() -> None:
        cfg = load_config(config)
        dataset = build_dataset(cfg, 'val')
        chosen = np.unique(np.linspace(0, len(dataset) - 1, min(PICTURES, len(dataset))).round().astype(int))
        with TemporaryDirectory() as folder:
            files = [dataset.get_data_info(int(index))['img_path'] for index in chosen]
            mosaic(predict(cfg, files, weights, folder, device=device).pictures, out / 'predictions.jpg')

    for draw in (curves, batch, predictions):
        try:
            draw()
        except (InputError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            missing.append(f'no picture of {draw.__name__}: {one_line(error)}')
    return missing


def _table(rows: Sequence[Sequence[Any]]) -> list[str]:
    cells = [[str(cell) for cell in row] for row in rows[: LINES + 1]]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for first, *rest in cells:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        lines.append('  '.join([first.ljust(widths[0]), *numbers]))
    return lines + ([f'... {len(rows) - 1 - LINES} classes more in per_class.csv'] if len(rows) > LINES + 1 else [])
