"""Pictures of what a data set hands to training, annotations drawn on the images after all transforms."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, VISUALIZERS, DefaultScope
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer

from mmlight.errors import InputError
from mmlight.runtime.progress import track

PHASES = ('train', 'val', 'test')
DRAWERS = {'mmdet': 'DetLocalVisualizer', 'mmseg': 'SegLocalVisualizer'}


def build_dataset(config: Config, phase: str) -> BaseDataset:
    """The data set of ``<phase>_dataloader``.

    Raises:
        InputError: the config has no such loader, or a file of the data set is missing.
    """
    if phase not in PHASES:
        raise InputError(f'phase {phase!r}: must be one of {", ".join(PHASES)}')
    loader = config.get(f'{phase}_dataloader')
    if not loader or 'dataset' not in loader:
        raise InputError(f'{config.filename}: has no `{phase}_dataloader` with a data set')
    try:
        with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmdet')):
            return DATASETS.build(loader.dataset)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f'{phase}_dataloader: {error.filename or error}: no such file; check `data_root`') from error


def browse(
    config: Config,
    phase: str = 'train',
    output_dir: str | Path | None = None,
    number: int | None = None,
    show: bool = False,
    interval: float = 2,
) -> Iterator[Path | None]:
    """Draw the annotations of a detection or segmentation data set with the library's own visualizer.

    Args:
        config: of the model whose data is to be looked at.
        phase: which loader's data set; ``train`` shows the augmented images.
        output_dir: folder for the pictures, named like the images; None saves none.
        number: stop after so many samples.
        show: open a window for each.
        interval: seconds that a window stays open.

    Yields:
        The path of each picture, or None.
    """
    if number is not None and number < 1:
        raise InputError(f'--show-number {number}: must be 1 or more')
    config = copy.deepcopy(config)
    _load_annotations_first(config.get(f'{phase}_dataloader'))
    dataset = build_dataset(config, phase)
    if output_dir is not None:
        _keep_apart(dataset, Path(output_dir))
    visualizer = _visualizer(config)
    visualizer.dataset_meta = dataset.metainfo
    total = min(len(dataset), number or len(dataset))
    taken: set[Path] = set()
    for index in track(range(total), 'drawing', total):
        item = dataset[index]
        sample = _drawable(item['data_samples'])
        name = Path(sample.metainfo.get('img_path') or f'{index:06d}.png').name
        path = None
        if output_dir is not None:
            path = Path(output_dir) / name
            if path in taken:  # the same file name in two folders of the data set
                path = path.with_name(f'{path.stem}_{index}{path.suffix}')
            taken.add(path)
        image = item['inputs'][[2, 1, 0]].permute(1, 2, 0).contiguous().numpy()  # loaded as BGR, drawn as RGB
        visualizer.add_datasample(
            name, image, sample, draw_pred=False, show=show, wait_time=interval, out_file=path and str(path)
        )
        yield path


def _keep_apart(dataset: BaseDataset, output_dir: Path) -> None:
    """Refuse a folder that holds images of the data set: pictures have their names."""
    paths = (dataset.get_data_info(index).get('img_path') for index in range(len(dataset)))
    for folder in {os.path.dirname(path) for path in paths if path}:
        if Path(folder).resolve() == output_dir.resolve():
            raise InputError(f'--output-dir {output_dir}: holds images of the data set, which would be replaced')


def _load_annotations_first(node: object) -> None:
    """Move the loading of annotations to the front of every pipeline below ``node``.

    Evaluation loads them after resizing, to compare at the original size; on the resized image they would lie beside
    the objects.
    """
    if isinstance(node, dict):
        pipeline = node.get('pipeline')
        if isinstance(pipeline, list):
            pipeline.sort(key=_loading_order)
        for value in node.values():
            _load_annotations_first(value)
    elif isinstance(node, list):
        for value in node:
            _load_annotations_first(value)


def _loading_order(transform: dict) -> int:
    name = str(transform.get('type')).rpartition('.')[2]
    return 2 if not name.startswith('Load') else 1 if name.endswith('Annotations') else 0


def _visualizer(config: Config) -> Visualizer:
    scope = config.get('default_scope', 'mmdet')
    settings = dict(config.get('visualizer') or {'type': DRAWERS.get(scope, 'Visualizer')})
    settings['name'] = 'browse'  # that of a training may be at work
    settings.pop('vis_backends', None)  # pictures go to `output_dir`, never to an experiment tracker
    with DefaultScope.overwrite_default_scope(scope):
        return VISUALIZERS.build(settings)


def _drawable(sample: BaseDataElement) -> BaseDataElement:
    """Plain arrays in place of box and mask structures, which the visualizers do not take."""
    if 'gt_instances' in sample:
        boxes = sample.gt_instances.get('bboxes')
        if hasattr(boxes, 'tensor'):
            sample.gt_instances.bboxes = boxes.tensor
        masks = sample.gt_instances.get('masks')
        if hasattr(masks, 'to_ndarray'):
            sample.gt_instances.masks = masks.to_ndarray().astype(bool)
        sample = sample.numpy()
    return sample
