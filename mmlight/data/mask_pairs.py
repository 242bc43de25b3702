"""Segmentation data whose images and masks a JSON file pairs."""

import json
from pathlib import Path

from mmseg.datasets import BaseSegDataset

from mmlight.registry import DATASETS


@DATASETS.register_module()
class MaskPairs(BaseSegDataset):
    """Images and masks by a JSON file ``{"pairs": [[image, mask], ...]}``; folders and suffixes do not matter.

    Args:
        ann_file: The file.
        kwargs: Of mmseg's ``BaseSegDataset``.
    """

    def __init__(self, ann_file: str, **kwargs) -> None:
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        pairs = json.loads(Path(self.ann_file).read_text(encoding='utf-8'))['pairs']
        common = dict(label_map=self.label_map, reduce_zero_label=self.reduce_zero_label, seg_fields=[])
        return [dict(img_path=image, seg_map_path=mask, **common) for image, mask in pairs]
