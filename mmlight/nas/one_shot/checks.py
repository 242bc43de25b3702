"""Which images a search may be scored on."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope
from torch.utils.data import Dataset

from mmlight.data.coco_folder import iter_datasets
from mmlight.errors import InputError


def image_paths(dataset: Any) -> list[str]:
    """The image files of a data set."""
    return [str(dataset.get_data_info(index)['img_path']) for index in range(len(dataset))]


def check_data(cfg: Config, train: Dataset, scored: Dataset) -> None:
    """Refuse to score candidates on images that they are trained on, or that the result is reported on.

    Args:
        cfg: Its ``test_dataloader`` names the images for the report (COCO: val2017); they need not be on the disk.
        train: The training split (archtrain).
        scored: The validation split (archval).

    Raises:
        InputError: with the number of images, and one of them.
    """
    images = image_paths(scored)
    _refuse(images, image_paths(train), 'train_dataloader', 'scores would come from images that were learnt')
    tested = []
    for _, settings in iter_datasets((cfg.get('test_dataloader') or {}).get('dataset')):
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmdet')):
            dataset = DATASETS.build({**settings, 'lazy_init': True, 'pipeline': []})
        if isinstance(dataset, BaseDataset) and Path(dataset.ann_file).is_file():
            dataset.full_init()
            tested += image_paths(dataset)
    _refuse(images, tested, 'test_dataloader', 'the search would choose by the images that its result is reported on')


def _refuse(images: Iterable[str], others: Iterable[str], where: str, why: str) -> None:
    both = sorted({str(Path(path).absolute()) for path in images} & {str(Path(path).absolute()) for path in others})
    if both:
        raise InputError(
            f'val_dataloader: {len(both)} of its images are of {where} too (the first is {both[0]}): {why}; '
            'tools/dataset_converters/arch_split.py makes a split'
        )
