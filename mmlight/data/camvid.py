"""CamVid: street scenes from a driving car (Brostow et al., 2009), the eleven classes that segmentation papers use."""

from pathlib import Path

from mmseg.datasets import BaseSegDataset

from mmlight.errors import InputError
from mmlight.registry import DATASETS


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid with 11 classes and void = 255, in the split of 367, 101 and 233 images.

    Images and label images have the same names, in two folders: ``data_prefix=dict(img_path=..., seg_map_path=...)``.
    ``tools/dataset_converters/camvid.py`` makes them from the published colour labels, and from copies that have void
    as a twelfth class. Order and palette are those of the SegNet copy.

    Args:
        img_suffix, seg_map_suffix: Ends of the file names.
        kwargs: of mmseg's ``BaseSegDataset``.

    Raises:
        InputError: a folder is missing or holds no image.
    """

    METAINFO = dict(
        classes=(
            'sky', 'building', 'pole', 'road', 'sidewalk', 'tree', 'sign', 'fence', 'car', 'pedestrian', 'bicyclist',
        ),
        palette=[
            [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [0, 0, 192], [128, 128, 0],
            [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0], [0, 128, 192],
        ],
    )  # fmt: skip

    def __init__(self, img_suffix: str = '.png', seg_map_suffix: str = '.png', **kwargs) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)

    def load_data_list(self) -> list[dict]:
        for key in ('img_path', 'seg_map_path'):
            folder = self.data_prefix.get(key)
            if folder and not Path(folder).is_dir():
                raise InputError(f'CamVidDataset: data_prefix.{key}: folder {folder} does not exist')
        found = super().load_data_list()
        if not found:
            raise InputError(f'CamVidDataset: no *{self.img_suffix} below {self.data_prefix["img_path"]}')
        return found
